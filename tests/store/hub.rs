//! Models by hub name: the hub's list of files, the choice among them, its cache.

use aquatint::store::MODELS;

use super::server::{Answer, Server};
use super::{Folder, failure, put, quiet, sha256, store};

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
