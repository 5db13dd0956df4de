//! The store against servers on this machine: no test asks the network.
#![cfg(feature = "hub")]

mod download;
mod hub;
mod package;
mod server;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aquatint::Error;
use aquatint::store::{Hub, KnownFile, KnownModel, MODELS, PackageClient, Progress, Source, Store, resolve};
use server::{Answer, Server};
use sha2::{Digest, Sha256};

const REPOSITORY: &str = "org/repo";
const FILE: &str = "model.gguf";
const PART: &str = "model.gguf.part";

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static N_FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = N_FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes without a pattern that a wrong offset could repeat.
fn body() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    };
    (0..700_000).map(|_| next()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A list of one model, `tiny`, with these files. Lists are static: a test's one is leaked.
fn models(files: &[(&'static str, &[u8])], sources: &'static [Source]) -> &'static [KnownModel] {
    let files: Vec<KnownFile> = files
        .iter()
        .map(|(name, bytes)| KnownFile { name, bytes: bytes.len() as u64, sha256: sha256(bytes).leak() })
        .collect();
    let model = KnownModel {
        name: "tiny",
        aliases: &["tiny-model"],
        description: "a test",
        licence: "MIT",
        page: "",
        files: files.leak(),
        sources,
    };
    vec![model].leak()
}

const HUB: &[Source] =
    &[Source::HubCache { repository: REPOSITORY }, Source::Hub { repository: REPOSITORY, revision: "rev" }];

fn store(folder: &Folder, url: &str, models: &'static [KnownModel]) -> Store {
    Store {
        folder: folder.0.join("models"),
        hub_cache: Some(folder.0.join("cache")),
        hub: Hub {
            url: url.into(),
            token: None,
            offline: false,
            stall: Duration::from_millis(400),
            pause: Duration::ZERO,
        },
        package: PackageClient { python: vec!["no-such-python".into()], options: Vec::new() },
        models,
    }
}

/// One model of one file on one server.
fn single(folder: &Folder, server: &Server) -> Store {
    store(folder, &server.url, models(&[(FILE, &body())], HUB))
}

fn quiet(_: Progress<'_>) {}

fn at(folder: &Folder, name: &str) -> PathBuf {
    folder.0.join("models/tiny").join(name)
}

/// What is in the model's folder.
fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.0.join("models/tiny")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn failure<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("it worked"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn failures_name_every_source_in_order() {
    let check = |answer: u16, reason: &str| {
        let (folder, server) = (Folder::new(), Server::new(move |_, _| Answer::status(answer)));
        let sources: &[Source] = &[
            Source::HubCache { repository: REPOSITORY },
            Source::Hub { repository: REPOSITORY, revision: "rev" },
            Source::Package { wheels: &[package::TINY] },
        ];
        let store = store(&folder, &server.url, models(&[(FILE, &body())], sources));
        let message = failure(store.resolve("tiny", &mut quiet));
        let lines: Vec<&str> = message.lines().map(str::trim).collect();
        assert_eq!(lines[0], "tiny: no source has it; tried");
        assert!(lines[1].starts_with("hub cache org/repo: not in "), "{message}");
        assert!(lines[2].starts_with("hub org/repo: model.gguf: ") && lines[2].contains(reason), "{message}");
        assert!(
            lines[3].starts_with("package tiny-weights 1.0: needs Python with pip: no-such-python"),
            "{message}"
        );
        assert!(!folder.0.join("models/tiny").exists(), "nothing came, nothing stays");
    };
    check(404, "HTTP 404: no such file");
    check(401, "set HF_TOKEN");
    check(500, "HTTP 500: the server is busy or down");
    check(418, "HTTP 418");
}

#[test]
fn offline_asks_nothing() {
    let (folder, server) = (Folder::new(), Server::new(|_, _| Answer::ok(&body())));
    let mut store = single(&folder, &server);
    store.hub.offline = true;
    assert!(failure(store.pull("tiny", &mut quiet)).contains("HF_HUB_OFFLINE is set"));
    assert!(failure(store.pull("org/other", &mut quiet)).contains("HF_HUB_OFFLINE is set"));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn two_at_once_fetch_it_once() {
    let (folder, server) = (
        Folder::new(),
        Server::new(|_, request| {
            std::thread::sleep(Duration::from_millis(150));
            Answer::range(&body(), request)
        }),
    );
    let store = single(&folder, &server);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(store.resolve("tiny", &mut quiet).unwrap(), at(&folder, FILE)));
        }
    });
    assert_eq!(server.requests().len(), 1);
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
}

#[test]
fn an_interrupted_pull_frees_the_lock_and_keeps_the_part() {
    let (folder, server) = (Folder::new(), Server::new(|_, request| Answer::range(&body(), request)));
    let store = single(&folder, &server);
    // An unwinding callback ends a pull as abruptly as anything within one process can.
    let interrupted = std::panic::catch_unwind(|| {
        store.pull("tiny", &mut |p| assert!(p.done < 300_000, "interrupted on purpose"))
    });
    assert!(interrupted.is_err());
    assert_eq!(names(&folder), [PART]);
    let here = std::fs::metadata(at(&folder, PART)).unwrap().len() as usize;
    assert!(here >= 300_000);
    store.pull("tiny", &mut quiet).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
    assert!(here == body().len() || server.ranges() == [None, Some(here)]);
}

#[test]
fn the_hubs_cache_is_used_where_it_lies_if_its_bytes_are_right() {
    let (folder, server) = (Folder::new(), Server::new(|_, request| Answer::range(&body(), request)));
    let store = single(&folder, &server);
    let snapshot = |name: &str| folder.0.join("cache/models--org--repo/snapshots").join(name).join(FILE);
    put(&snapshot("bad"), &vec![0; body().len()]);
    put(&snapshot("short"), b"short");
    assert_eq!(store.resolve("tiny", &mut quiet).unwrap(), at(&folder, FILE));
    assert_eq!(server.requests().len(), 1, "wrong bytes in the cache are not used");
    store.remove("tiny").unwrap();

    put(&snapshot("good"), &body());
    assert_eq!(store.resolve("tiny", &mut quiet).unwrap(), snapshot("good"));
    assert_eq!(server.requests().len(), 1);
    assert_eq!(store.list().unwrap()[0].source, "hub cache");
    assert!(failure(store.remove("tiny")).contains("lies in the hub's cache"));
}

#[test]
fn models_are_removed_even_half() {
    let (folder, server) = (Folder::new(), Server::new(|_, request| Answer::range(&body(), request)));
    let store = single(&folder, &server);
    store.pull("tiny", &mut quiet).unwrap();
    assert_eq!(store.remove("tiny").unwrap().bytes, 700_000);
    assert!(!folder.0.join("models/tiny").exists() && store.list().unwrap().is_empty());
    assert!(failure(store.remove("tiny")).contains("tiny is not in the store"));
    put(&at(&folder, PART), b"half");
    assert_eq!(store.remove("tiny").unwrap().bytes, 4);
    assert!(!folder.0.join("models/tiny").exists());
}

#[test]
fn damage_is_found_and_repaired() {
    let (folder, server) = (Folder::new(), Server::new(|_, request| Answer::range(&body(), request)));
    let store = single(&folder, &server);
    store.pull("tiny", &mut quiet).unwrap();
    let mut damaged = body();
    damaged[699_999] ^= 1;
    put(&at(&folder, FILE), &damaged);
    let message = failure(store.verify("tiny", &mut quiet));
    assert!(
        message.contains("its SHA-256 is") && message.contains("remove tiny and pull it again"),
        "{message}"
    );
    put(&at(&folder, FILE), b"short");
    store.resolve("tiny", &mut quiet).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
}

#[test]
fn an_existing_path_is_itself() {
    let folder = Folder::new();
    put(&folder.0.join("some.gguf"), b"x");
    let check = |path: &Path| {
        assert_eq!(resolve(path.to_str().unwrap(), &mut quiet).unwrap(), path);
    };
    check(&folder.0);
    check(&folder.0.join("some.gguf"));
    let missing = folder.0.join("other.gguf");
    let message = failure(resolve(missing.to_str().unwrap(), &mut quiet));
    assert_eq!(message, format!("{}: no such file or folder", missing.display()));
    assert!(failure(resolve("smolm2-135m", &mut quiet)).contains("did you mean smollm2-135m?"));
}

#[test]
fn the_list_of_models_is_sound() {
    let mut spellings = Vec::new();
    for model in MODELS {
        spellings.push(model.name);
        spellings.extend(model.aliases);
        assert!(!model.files.is_empty() && !model.licence.is_empty() && !model.description.is_empty());
        for file in model.files {
            assert!(file.bytes > 0 && file.sha256.len() == 64, "{}", file.name);
            assert!(file.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        }
        for source in model.sources {
            let Source::Package { wheels } = source else { continue };
            let members = || wheels.iter().flat_map(|wheel| wheel.members);
            assert!(members().all(|member| model.files.iter().any(|file| file.name == member.file)));
            assert!(model.files.iter().all(|file| members().any(|member| member.file == file.name)));
        }
    }
    let lower: Vec<String> = spellings.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(spellings, lower, "names and aliases are lower case");
    let mut unique = lower.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), lower.len(), "a name means one model");
    assert_eq!(MODELS[0].name, aquatint::store::DEFAULT);
}
