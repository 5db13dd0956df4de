//! Vectors, attention and care, as a user runs the program.

#[path = "common/program.rs"]
mod program;

use std::path::PathBuf;

use program::{aquatint, data, json, refused, stories};
use serde_json::Value;

/// A folder for what a test writes.
fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("aquatint-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("made");
    folder
}

/// A copy of a tiny model with 160 words.
fn with_words(model: &str, folder: &std::path::Path) -> String {
    std::fs::create_dir_all(folder).expect("made");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(data(model).join(name), folder.join(name)).expect("copied");
    }
    let first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "old", "young", "is"];
    let pieces = first.map(str::to_owned).into_iter().chain((first.len()..160).map(|i| format!("w{i}")));
    std::fs::write(folder.join("vocab.txt"), pieces.collect::<Vec<_>>().join("\n")).expect("written");
    folder.display().to_string()
}

fn words_file(folder: &std::path::Path) -> String {
    let path = folder.join("words.txt");
    let text = "king 1 0 1\nqueen 1 1 1\nman 0 0 1\nwoman 0 1 1\nprince 1 0.1 0.9\napple 0 0 -1\n";
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn nearest_words_and_plots() {
    let folder = scratch("plots");
    let words = words_file(&folder);
    let found =
        json(&["nearest", &words, "--json", "--top", "2", "--analogy", "king", "-", "man", "+", "woman"]);
    assert_eq!((&found["rows"], &found["nearest"][0]["word"]), (&Value::from(6), &Value::from("queen")));
    assert_eq!(json(&["nearest", &stories(), "Lily", "--json"])["rows"], 512);
    refused(&["nearest", &words, "quene"], "did you mean queen?");
    for name in ["words.svg", "words.html"] {
        let output = folder.join(name).display().to_string();
        let drawn = json(&[
            "vectors", "--json", "plot", &words, "king", "queen", "man", "woman", "apple", "-o", &output,
        ]);
        assert_eq!(drawn["points"].as_array().expect("points").len(), 5);
        let text = std::fs::read_to_string(&output).expect("written");
        assert!(text.contains(">queen</text>") && !text.contains("NaN"));
        // The namespace of SVG is a name; nothing is fetched.
        assert!(!text.replace("http://www.w3.org/2000/svg", "").contains("http"));
    }
    let output = folder.join("one.svg").display().to_string();
    refused(&["vectors", "plot", &words, "king", "-o", &output], "3 words");
    refused(&["vectors", "plot", &words, "king", "quene", "man", "-o", &output], "queen");
    refused(&["vectors", "plot", &words, "king", "queen", "man", "-o", &format!("{output}.png")], ".svg");
    for (bad, text) in [("empty", ""), ("nan", "a nan 1\nb 1 2\nc 1 1\n"), ("binary", "\u{0}\u{1}\u{2}")] {
        let path = folder.join(bad).display().to_string();
        std::fs::write(&path, text).expect("written");
        refused(&["vectors", "plot", &path, "a", "b", "c", "-o", &output], bad);
        refused(&["nearest", &path, "a"], bad);
    }
    let left: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("one")), "{left:?}");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn attention_is_shown_as_a_page_and_as_numbers() {
    let folder = scratch("attention");
    let output = folder.join("page.html").display().to_string();
    let shown =
        json(&["attention", &stories(), "Once upon a time", "--layers", "2,5", "--json", "-o", &output]);
    let part = &shown["parts"][0];
    let n = part["queries"].as_array().expect("tokens").len();
    assert_eq!((part["name"].as_str(), part["layers"].as_array().map(Vec::len)), (Some("decoder"), Some(2)));
    let row = &part["layers"][1]["heads"][7][n - 1];
    let sum: f64 = row.as_array().expect("a row").iter().filter_map(Value::as_f64).sum();
    assert!((sum - 1.0).abs() < 1e-4 && part["layers"][1]["layer"] == 5, "{row}");
    let page = std::fs::read_to_string(&output).expect("written");
    assert!(page.contains("Once upon a time") && page.ends_with("</html>\n") && !page.contains("http"));
    // An encoder's, a decoder's, and the decoder's to what the encoder read.
    let t5 = with_words("encoder_decoders/t5", &folder.join("t5"));
    let shown = json(&["attention", &t5, "the old w20", "--target", "is young", "--json"]);
    let parts = shown["parts"].as_array().expect("parts").iter();
    let shape = |part: &Value| {
        let n = |name: &str| part[name].as_array().map_or(0, Vec::len);
        (part["name"].as_str().unwrap_or_default().to_owned(), n("queries"), n("keys"))
    };
    let expected = [("encoder", 5, 5), ("decoder", 3, 3), ("decoder to encoder", 3, 5)];
    assert_eq!(parts.map(shape).collect::<Vec<_>>(), expected.map(|(name, q, k)| (name.to_owned(), q, k)));
    refused(&["attention", &stories(), "", "-o", &output], "empty");
    refused(&["attention", &stories(), "Once", "--layers", "9", "-o", &output], "--layers");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn care_is_taken_of_what_is_generated() {
    let folder = scratch("care");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    // A phrase that straddles tokens is not printed.
    let phrases = file("phrases.txt", "\nNEVER SAID\n  girl NAMED \n");
    let story = json(&["run", &stories(), "Once upon a time", "--raw", "--stop-on", &phrases, "--json"]);
    let text = story["text"].as_str().expect("text");
    assert!(!text.contains("girl") && text.contains("little"), "{text}");
    assert!(story["reason"].as_str().expect("a reason").contains("girl NAMED"), "{story}");
    refused(&["run", &stories(), "x", "--raw", "--stop-on", &file("none.txt", "\n")], "no phrases");
    refused(&["run", &stories(), "x", "--raw", "--stop-classifier", "m:bad"], "MODEL:LABEL:THRESHOLD");
    // A classifier judges sentence by sentence, and what it refuses is not printed.
    let judge = with_words("encoders/bert_classify", &folder.join("judge"));
    let judged = |limit: &str| {
        let spec = format!("{judge}:LABEL_0:{limit}");
        json(&["run", &stories(), "Once", "--raw", "-n", "40", "--stop-classifier", &spec, "--json"])
    };
    let (strict, lax) = (judged("0"), judged("1"));
    assert_eq!(
        (&strict["text"], &strict["finish"], &lax["finish"]),
        (&"".into(), &"stop".into(), &"length".into())
    );
    assert!(strict["reason"].as_str().expect("a reason").contains("LABEL_0") && lax["reason"].is_null());
    let wrong = format!("{judge}:no such:0.5");
    refused(&["run", &stories(), "x", "--raw", "--stop-classifier", &wrong], "LABEL_2");
    // The mark of a key is found in the text alone.
    let run = |extra: &[&str]| {
        let mut args = vec!["run", "--raw", "--temperature", "1", "--seed", "3", "-n", "200", "--ignore-end"];
        args.extend(extra);
        let (model, text) = (stories(), "Once upon a time");
        args.extend([model.as_str(), text]);
        String::from_utf8(aquatint(&args).stdout).expect("UTF-8")
    };
    let marked = file("marked.txt", &run(&["--watermark", "key"]));
    let read = |key: &str, path: &str| {
        let found = json(&["audit", "watermark", "--key", key, "--model", &stories(), path, "--json"]);
        found["z"].as_f64().expect("z")
    };
    assert!(read("key", &marked) > 4.0 && read("other", &marked) < 2.5);
    assert!(read("key", &file("plain.txt", &run(&[]))) < 2.5);
    let short = file("short.txt", "Once");
    refused(&["audit", "watermark", "--key", "key", "--model", &stories(), &short], "16");
    refused(&["audit", "watermark", "--key", "", "--model", &stories(), &short], "key");
    // What a text takes from another, and what a model takes from it.
    let book =
        file("book.txt", "Once upon a time, there was a little girl named Lily.\nShe loved to play outside.");
    let own = file("own.txt", "I say: there was a LITTLE girl named lily! And more.");
    let found = json(&["audit", "overlap", &own, "--corpus", &book, "--json"]);
    let run = &found["runs"][0];
    assert_eq!(
        (&run["words"], &run["start"], &run["place"], &run["line"]),
        (&7.into(), &2.into(), &18.into(), &1.into())
    );
    let generated = json(&[
        "audit",
        "overlap",
        &stories(),
        "--prompt",
        "Once upon a time",
        "-n",
        "30",
        "--corpus",
        &book,
        "--json",
    ]);
    assert!(generated["runs"][0]["words"].as_u64().expect("words") >= 7, "{generated}");
    refused(&["audit", "overlap", &file("empty.txt", ""), "--corpus", &book], "no words");
    refused(&["audit", "overlap", &own, "--corpus", "/nonexistent"], "no such file");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn bias_is_asked_of_models_that_fill_masks_too() {
    let folder = scratch("bias");
    let model = with_words("encoders/bert_mlm", &folder.join("mlm"));
    let pairs = folder.join("pairs.csv");
    let text = "sent_more,sent_less,bias_type\nthe old w20 is w30 .,the young w20 is w30 .,age\n\
                the w40 is old .,the w40 is young .,age\n";
    std::fs::write(&pairs, text).expect("written");
    let pairs = pairs.display().to_string();
    let found = json(&["audit", "bias", &model, "--pairs", &pairs, "--json"]);
    assert_eq!((&found["measure"], &found["pairs"]), (&"pseudo-likelihood".into(), &2.into()), "{found}");
    // The words that both share, each masked in turn, as `fill` has them.
    let ids = [2, 6, 7, 20, 9, 30, 5, 3];
    let mut expected = 0.0;
    for place in [1, 3, 4, 5, 6] {
        let masked =
            ids.iter().enumerate().map(|(i, id)| if i == place { "4".into() } else { id.to_string() });
        let text = masked.collect::<Vec<String>>().join(",");
        let filled = json(&["fill", &model, &text, "--ids", "--top", "160", "--json"]);
        let top = filled["masks"][0]["top"].as_array().expect("tokens");
        let own = top.iter().find(|token| token["id"] == ids[place]).expect("all are listed");
        expected += own["probability"].as_f64().expect("a probability").ln();
    }
    let first = found["first"][0].as_f64().expect("a likelihood");
    assert!((first - expected).abs() < 1e-3, "{first} {expected}");
    let encoder = data("encoders/bert_classify").display().to_string();
    refused(&["audit", "bias", &encoder, "--pairs", &pairs], "tokenizer");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn bags_and_rows_go_into_files() {
    let folder = scratch("bags");
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(folder.join("text.txt"), "the cat chases the dog\nthe dog chases the cat\n")
        .expect("written");
    let text = path("text.txt");
    let bags = json(&["bow", &text, "--lines", "--similarity", "--json"]);
    assert!((bags["similarity"][0][1].as_f64().expect("a cosine") - 1.0).abs() < 1e-12);
    assert!(aquatint(&["bow", &text, "--lines", "--format", "npz", "-o", &path("m.npz")]).status.success());
    assert!(std::fs::read(path("m.npz")).expect("written").starts_with(b"PK\x03\x04"));
    refused(&["bow", &text, "--format", "npz"], "-o");
    let vocabulary = aquatint(&["bow", &text, "--lines", "--format", "vocabulary"]);
    assert!(String::from_utf8_lossy(&vocabulary.stdout).contains("3\t4\t2\tthe\n"));
    std::fs::write(folder.join("none.txt"), "").expect("written");
    refused(&["bow", &path("none.txt"), "--format", "npz", "-o", &path("n.npz")], "empty");
    assert!(!folder.join("n.npz").exists() && !folder.join("n.npz.part").exists());
    // Rows of the input embedding of a decoder.
    let rows = json(&["embed", "-m", &stories(), "Once upon a time", "--tokens", "--json"]);
    assert_eq!((&rows["kind"], &rows["dimensions"]), (&"input".into(), &64.into()));
    assert_eq!((&rows["pieces"][0][0], &rows["pieces"][0][1]), (&"<s>".into(), &" Once".into()));
    assert_eq!(rows["vectors"][0].as_array().map(Vec::len), rows["ids"][0].as_array().map(Vec::len));
    let npy = path("rows.npy");
    let output =
        aquatint(&["embed", "-m", &stories(), "Once", "--input-rows", "--format", "npy", "-o", &npy]);
    assert!(output.status.success() && std::fs::read(npy).expect("written").starts_with(b"\x93NUMPY"));
    std::fs::remove_dir_all(&folder).expect("removed");
}
