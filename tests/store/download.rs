//! One file over HTTP, from servers that answer badly.

use super::server::{Answer, Server};
use super::{FILE, Folder, PART, at, body, failure, names, put, quiet, sha256, single};

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
