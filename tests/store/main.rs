//! The store against servers on this machine: no test asks the network.
#![cfg(feature = "hub")]

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
fn a_fresh_download_is_checked_recorded_and_not_repeated() {
    let (folder, server) = (Folder::new(), Server::new(|_, request| Answer::range(&body(), request)));
    let store = single(&folder, &server);
    let mut seen = Vec::new();
    let path =
        store.resolve("Tiny-Model", &mut |p| seen.push((p.done, p.total, p.source.to_owned()))).unwrap();
    assert_eq!(path, at(&folder, FILE));
    assert_eq!(std::fs::read(&path).unwrap(), body());
    assert_eq!(names(&folder), ["aquatint.json", FILE]);
    assert!(seen.is_sorted() && seen[0].0 == 0, "progress goes forward");
    let host = server.url.trim_start_matches("http://").to_owned();
    assert_eq!(*seen.last().unwrap(), (700_000, Some(700_000), host));
    assert_eq!(server.requests()[0].path, "/org/repo/resolve/rev/model.gguf");

    assert_eq!(store.resolve("tiny", &mut quiet).unwrap(), path);
    assert_eq!(server.requests().len(), 1, "the second time asks nothing");
    let entries = store.list().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].name.as_str(), entries[0].bytes, entries[0].licence.as_str()),
        ("tiny", 700_000, "MIT")
    );
    assert_eq!(entries[0].source, "hub org/repo");
    assert!(entries[0].pulled_at.is_some());
    assert_eq!(store.verify("tiny", &mut quiet).unwrap(), entries[0]);
}

#[test]
fn a_part_is_continued() {
    let (folder, server) = (Folder::new(), Server::new(|_, request| Answer::range(&body(), request)));
    put(&at(&folder, PART), &body()[..300_000]);
    let mut first = None;
    single(&folder, &server).pull("tiny", &mut |p| first = first.or(Some(p.done))).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
    assert_eq!((server.ranges(), first), (vec![Some(300_000)], Some(300_000)));
}

#[test]
fn a_full_part_needs_no_request() {
    let (folder, server) = (Folder::new(), Server::new(|_, _| Answer::status(500)));
    put(&at(&folder, PART), &body());
    single(&folder, &server).pull("tiny", &mut quiet).unwrap();
    assert_eq!((names(&folder), server.requests().len()), (vec!["aquatint.json".into(), FILE.into()], 0));
}

#[test]
fn a_server_without_ranges_sends_it_all_again() {
    let (folder, server) = (Folder::new(), Server::new(|_, _| Answer::ok(&body())));
    put(&at(&folder, PART), &body()[..300_000]);
    single(&folder, &server).pull("tiny", &mut quiet).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_part_of_something_else_is_replaced() {
    let (folder, server) = (Folder::new(), Server::new(|_, request| Answer::range(&body(), request)));
    put(&at(&folder, PART), &[7; 300_000]);
    single(&folder, &server).pull("tiny", &mut quiet).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
    assert_eq!(server.ranges(), [Some(300_000), None]);
}

#[test]
fn a_range_that_the_server_refuses_is_dropped() {
    let (folder, server) = (
        Folder::new(),
        Server::new(|number, _| if number == 0 { Answer::status(416) } else { Answer::ok(&body()) }),
    );
    put(&at(&folder, PART), &body()[..300_000]);
    single(&folder, &server).pull("tiny", &mut quiet).unwrap();
    assert_eq!(server.ranges(), [Some(300_000), None]);
}

#[test]
fn a_broken_connection_is_continued() {
    let (folder, server) =
        (Folder::new(), Server::new(|_, request| Answer::range(&body(), request).cut(200_000)));
    single(&folder, &server).pull("tiny", &mut quiet).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
    assert_eq!(server.ranges(), [None, Some(200_000), Some(400_000), Some(600_000)]);
}

#[test]
fn what_came_before_the_end_stays_for_the_next_pull() {
    let (folder, server) = (
        Folder::new(),
        Server::new(|number, request| match number {
            0 => Answer::ok(&body()).cut(200_000),
            1 | 2 => Answer::status(503),
            _ => Answer::range(&body(), request),
        }),
    );
    let store = single(&folder, &server);
    let message = failure(store.pull("tiny", &mut quiet));
    assert!(message.contains("hub org/repo: model.gguf: HTTP 503"), "{message}");
    assert_eq!(names(&folder), [PART]);
    store.pull("tiny", &mut quiet).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
    assert_eq!(server.ranges().last(), Some(&Some(200_000)));
}

#[test]
fn silence_ends_an_attempt() {
    let (folder, server) = (
        Folder::new(),
        Server::new(|number, request| match number {
            0 => Answer::ok(&body()).cut(200_000).silent(),
            1 => Answer::range(&body(), request),
            _ => Answer::status(500),
        }),
    );
    single(&folder, &server).pull("tiny", &mut quiet).unwrap();
    assert_eq!(std::fs::read(at(&folder, FILE)).unwrap(), body());
    assert_eq!(server.ranges(), [None, Some(200_000)]);
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let mut wrong = body();
    wrong[5] ^= 1;
    let (folder, server) = (Folder::new(), Server::new(move |_, _| Answer::ok(&wrong)));
    let message = failure(single(&folder, &server).pull("tiny", &mut quiet));
    assert!(message.contains("its SHA-256 is") && message.contains(&sha256(&body())), "{message}");
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn too_many_bytes_are_refused() {
    let (folder, server) = (Folder::new(), Server::new(|_, _| Answer::ok(&[body(), vec![0; 9]].concat())));
    let message = failure(single(&folder, &server).pull("tiny", &mut quiet));
    assert!(message.contains("more than the expected 700000 bytes"), "{message}");
    assert!(!at(&folder, FILE).exists());
}

#[test]
fn redirects_are_followed_without_the_token() {
    let folder = Folder::new();
    let files = Server::new(|_, request| Answer::range(&body(), request));
    // Another host by name, though it is the same machine.
    let to = format!("{}/stored?sign=1", files.url.replace("127.0.0.1", "localhost"));
    let hub = Server::new(move |_, request| match request.path.as_str() {
        "/moved/model.gguf" => Answer::redirect(&to),
        _ => Answer::redirect("/moved/model.gguf"),
    });
    put(&at(&folder, PART), &body()[..300_000]);
    let mut store = single(&folder, &hub);
    store.hub.token = Some("secret".into());
    store.pull("tiny", &mut quiet).unwrap();
    for request in hub.requests() {
        assert_eq!(request.authorization.as_deref(), Some("Bearer secret"), "{}", request.path);
    }
    assert_eq!((files.requests()[0].authorization.clone(), files.ranges()), (None, vec![Some(300_000)]));
}

#[test]
fn endless_redirects_end() {
    let (folder, server) = (Folder::new(), Server::new(|_, _| Answer::redirect("/round")));
    assert!(failure(single(&folder, &server).pull("tiny", &mut quiet)).contains("redirect"));
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

/// A repository with these files, as the hub answers; the first is stored as a large file.
fn repository(files: &'static [(&'static str, &'static [u8])]) -> Server {
    Server::new(move |_, request| {
        if request.path == "/api/models/org/other?blobs=true" {
            let siblings: Vec<_> = files
                .iter()
                .enumerate()
                .map(|(index, (name, bytes))| match index {
                    0 => serde_json::json!({"rfilename": name, "size": bytes.len(), "lfs": {"sha256": sha256(bytes)}}),
                    _ => serde_json::json!({"rfilename": name, "size": bytes.len()}),
                })
                .collect();
            let answer = serde_json::json!({"sha": "c0ffee", "tags": ["license:mit"], "siblings": siblings});
            return Answer::ok(answer.to_string().as_bytes());
        }
        let name = request.path.strip_prefix("/org/other/resolve/c0ffee/").unwrap_or_default();
        match files.iter().find(|file| file.0 == name) {
            Some((_, bytes)) => Answer::range(bytes, request),
            None => Answer::status(404),
        }
    })
}

#[test]
fn a_hub_name_fetches_the_usual_file() {
    let folder = Folder::new();
    let server =
        repository(&[("m-Q4_K_M.gguf", b"four"), ("m-Q8_0.gguf", b"eight bits"), ("README.md", b"")]);
    let store = store(&folder, &server.url, MODELS);
    let path = store.resolve("hf.co/org/other", &mut quiet).unwrap();
    assert_eq!(path, folder.0.join("models/org--other--m-Q4_K_M/m-Q4_K_M.gguf"));
    let n_requests = server.requests().len();
    assert_eq!(store.resolve("org/other", &mut quiet).unwrap(), path);
    assert_eq!(store.resolve("org/other:m-Q4_K_M.gguf", &mut quiet).unwrap(), path);
    assert_eq!(server.requests().len(), n_requests, "what is here is found without asking");
    let eight = store.resolve("org/other:q8_0", &mut quiet).unwrap();
    assert_eq!(std::fs::read(eight).unwrap(), b"eight bits");
    let names: Vec<String> = store.list().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["org/other:m-Q4_K_M.gguf", "org/other:m-Q8_0.gguf"]);
    let message = failure(store.resolve("org/other:Q2_K", &mut quiet));
    assert!(message.contains("no GGUF file Q2_K; it has m-Q4_K_M.gguf, m-Q8_0.gguf"), "{message}");
    assert_eq!(store.remove("org/other").unwrap().licence, "mit");
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_hub_name_fetches_a_folder() {
    let folder = Folder::new();
    let server = repository(&[
        ("model.safetensors", b"weights"),
        ("config.json", b"{}"),
        ("1_Pooling/config.json", b"{ }"),
        ("onnx/model.onnx", b"not this"),
        ("../../evil", b"nor this"),
    ]);
    let store = store(&folder, &server.url, MODELS);
    let path = store.resolve("org/other", &mut quiet).unwrap();
    assert_eq!(path, folder.0.join("models/org--other"));
    assert_eq!(std::fs::read(path.join("1_Pooling/config.json")).unwrap(), b"{ }");
    assert_eq!(std::fs::read(path.join("model.safetensors")).unwrap(), b"weights");
    assert!(!path.join("onnx").exists() && !folder.0.join("evil").exists());
    assert_eq!(store.verify("org/other", &mut quiet).unwrap().bytes, 12);
}

#[test]
fn a_hub_name_is_found_in_the_hubs_cache() {
    let (folder, server) = (Folder::new(), Server::new(|_, _| Answer::status(500)));
    let store = store(&folder, &server.url, MODELS);
    let place = folder.0.join("cache/models--org--other");
    put(&place.join("snapshots/b/config.json"), b"{}");
    put(&place.join("snapshots/b/model.safetensors"), b"weights");
    put(&place.join("snapshots/a/config.json"), b"{}");
    put(&place.join("refs/main"), b"a\n");
    assert_eq!(
        store.resolve("org/other", &mut quiet).unwrap(),
        place.join("snapshots/b"),
        "a is not complete"
    );
    put(&place.join("snapshots/a/model.safetensors"), b"weights");
    assert_eq!(store.resolve("org/other", &mut quiet).unwrap(), place.join("snapshots/a"));
    assert_eq!(server.requests().len(), 0);
    let message = failure(store.resolve("org/none", &mut quiet));
    assert!(message.contains("hub cache: not in") && message.contains("HTTP 500"), "{message}");
}

#[test]
fn strange_answers_of_the_hub_are_errors() {
    let check = |answer: &'static str, reason: &str| {
        let (folder, server) = (Folder::new(), Server::new(|_, _| Answer::ok(answer.as_bytes())));
        let message = failure(store(&folder, &server.url, MODELS).pull("org/other", &mut quiet));
        assert!(message.contains(reason), "{message}");
    };
    check("<html>", "the answer is not JSON");
    check("{}", "list of its files is not understood");
    check(r#"{"sha": "../..", "siblings": []}"#, "list of its files is not understood");
    check(r#"{"sha": "c0ffee", "siblings": []}"#, "has neither a GGUF file nor config.json");
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
