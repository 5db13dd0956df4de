//! The program as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn aquatint(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aquatint")).args(args).output().expect("the program starts")
}

fn json(args: &[&str]) -> Value {
    let output = aquatint(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

fn refused(args: &[&str], expected: &str) {
    let output = aquatint(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
    assert!(output.stdout.is_empty(), "{args:?} printed a result");
    assert!(errors.contains("error: ") && errors.contains(expected), "{args:?}: {errors}");
    assert!(!errors.contains("panicked"), "{args:?}: {errors}");
}

fn stories() -> String {
    data("stories260K.bin").display().to_string()
}

const COMMANDS: &[&str] = &[
    "run",
    "chat",
    "pull",
    "list",
    "rm",
    "tokenize",
    "score",
    "logits",
    "bench",
    "inspect",
    "diff",
    "doctor",
    "verify",
    "embed",
    "fill",
    "classify",
    "label",
    "answer",
    "bow",
    "vectors",
    "audit bias",
    "audit overlap",
    "audit watermark",
    "attention",
    "nearest",
    "quantize",
];

#[test]
fn every_command_has_help_with_examples() {
    for command in COMMANDS {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let output = aquatint(&words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("Example") && text.contains("--json"),
            "{command}: {text}"
        );
    }
}

#[test]
fn run_prints_its_json() {
    let story =
        json(&["run", &stories(), "Once upon a time", "--raw", "--temperature", "0", "-n", "12", "--json"]);
    assert_eq!(story["finish"], "length");
    assert_eq!(story["ids"].as_array().expect("ids").len(), 12);
    assert_eq!(story["prompt_ids"][0], 1);
    assert!(story["text"].as_str().expect("text").starts_with(", there was a"), "{story}");
    assert!(story["timings"]["tokens_per_second"].as_f64().expect("a speed") > 0.0);
}

#[test]
fn likelihoods_agree_with_each_other() {
    let logits = json(&[
        "logits",
        &stories(),
        "Once upon a",
        "--raw",
        "--json",
        "--activations",
        "f32",
        "--kv",
        "f32",
    ]);
    let top = &logits["top"][0];
    assert_eq!(top["piece"], " time");
    let score = |text: &str| {
        json(&["score", &stories(), text, "--json", "--activations", "f32", "--kv", "f32"])["nll"]
            .as_f64()
            .expect("nll")
    };
    let difference = score("Once upon a time") - score("Once upon a");
    assert!((difference + top["logprob"].as_f64().expect("logprob")).abs() < 1e-3, "{difference} {top}");
}

#[test]
fn tokens_have_their_places() {
    let tokens = json(&["tokenize", &stories(), "Lily ran", "--json"]);
    let list = tokens["tokens"].as_array().expect("tokens");
    let text = "Lily ran";
    assert_eq!(tokens["n_bytes"], text.len());
    assert_eq!(list.last().expect("a token")["end"], text.len());
}

#[test]
fn a_model_is_inspected_checked_and_measured() {
    let inspected = json(&["inspect", &stories(), "--plan", "--json"]);
    assert_eq!(inspected["decoder"]["layers"], 5);
    assert!(inspected["plan"].as_array().expect("dispatches").len() > 30);
    let diff = json(&["diff", &stories(), "Once upon", "--json"]);
    assert_eq!(diff["different"], 0, "{diff}");
    let bench = json(&["bench", &stories(), "-p", "8", "-n", "4", "-r", "2", "--json"]);
    assert_eq!(bench["tests"].as_array().expect("tests").len(), 2);
    assert!(bench["tests"][1]["avg_ts"].as_f64().expect("a speed") > 0.0);
    let fixture = data("models/llama_gqa").display().to_string();
    let verified = json(&["verify", &fixture, "--json"]);
    assert_eq!((&verified["ok"], &verified["greedy_equal"]), (&Value::Bool(true), &Value::Bool(true)));
    let doctor = json(&["doctor", "--kernel", "rms_norm", "--json"]);
    assert_eq!(doctor["ok"], true);
}

#[test]
fn every_encoder_and_encoder_decoder_matches_its_reference() {
    let mut n = 0;
    for entry in std::fs::read_dir(data("encoders")).expect("a folder of models") {
        let folder = entry.expect("an entry").path().display().to_string();
        let verified = json(&["verify", &folder, "--json"]);
        assert_eq!(
            (&verified["ok"], &verified["kind"]),
            (&Value::Bool(true), &Value::from("encoder")),
            "{verified}"
        );
        n += 1;
    }
    assert_eq!(n, 9);
    for name in ["t5", "flan_t5", "switch", "bart"] {
        let folder = data(&format!("encoder_decoders/{name}")).display().to_string();
        let verified = json(&["verify", &folder, "--json"]);
        let found = (&verified["ok"], &verified["greedy_equal"], &verified["beams_equal"]);
        let yes = &Value::Bool(true);
        assert_eq!(found, (yes, yes, yes), "{verified}");
    }
    // An encoder cannot go on with a text, and says what it can do.
    let folder = data("encoders/bert_mlm").display().to_string();
    refused(&["verify", &folder.replace("bert_mlm", "none")], "golden.safetensors");
}

#[test]
fn quantised_models_go_on_nearly_as_before() {
    // Only the models with trained weights tell how much is lost.
    let bits = |arguments: &[&str]| {
        let text = "Once upon a time, there was a little girl named Lily. She loved to play.";
        let mut all = vec!["score", arguments[0], text, "--json"];
        all.extend(&arguments[1..]);
        json(&all)["perplexity"].as_f64().expect("a perplexity")
    };
    let stories = stories();
    let (exact, eight) = (bits(&[&stories]), bits(&[&stories, "--quantize", "q8_0"]));
    let four = bits(&[&stories, "--quantize", "q4_0"]);
    assert!((eight / exact - 1.0).abs() < 0.03, "{exact} became {eight}");
    assert!((four / exact - 1.0).abs() < 0.5 && four != eight, "{exact} became {four}");
    refused(&["quantize", &stories, "/nonexistent/out.gguf", "--format", "q8_0"], "GGUF");
}

#[test]
fn a_conversation_needs_a_chat_format() {
    refused(&["run", &stories(), "Hello"], "no chat template");
}

#[test]
fn bad_input_is_one_clear_error() {
    refused(&["run", "no-such-model", "Hello"], "no-such-model");
    refused(&["run", "smollm2-135m"], "is a model");
    refused(&["logits", "/nonexistent/model.gguf", "Hello"], "model.gguf");
    refused(&["run", &stories(), "Hello", "--raw", "--temperature=-1"], "temperature");
    refused(&["doctor", "--adapter", "no such adapter"], "no such adapter");
    refused(&["score", &stories(), "Hello", "--window", "1"], "--window");
    refused(&["verify", "/nonexistent"], "golden.safetensors");
    let broken = std::env::temp_dir().join(format!("aquatint-broken-{}.gguf", std::process::id()));
    std::fs::write(&broken, b"GGUF\x03\0\0\0").expect("written");
    refused(&["inspect", &broken.display().to_string()], "gguf");
    std::fs::remove_file(&broken).expect("removed");
}

/// A folder for what a test writes.
fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("aquatint-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("made");
    folder
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
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(data("encoders/bert_mlm").join(name), folder.join(name)).expect("copied");
    }
    let mut pieces: Vec<String> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "old", "young", "is"]
            .map(str::to_owned)
            .to_vec();
    pieces.extend((pieces.len()..160).map(|i| format!("w{i}")));
    std::fs::write(folder.join("vocab.txt"), pieces.join("\n")).expect("written");
    let pairs = folder.join("pairs.csv");
    let text = "sent_more,sent_less,bias_type\nthe old w20 is w30 .,the young w20 is w30 .,age\n\
                the w40 is old .,the w40 is young .,age\n";
    std::fs::write(&pairs, text).expect("written");
    let (model, pairs) = (folder.display().to_string(), pairs.display().to_string());
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
    assert!(rows["texts"][0].as_array().expect("tokens").len() > 3);
    let npy = path("rows.npy");
    let output =
        aquatint(&["embed", "-m", &stories(), "Once", "--input-rows", "--format", "npy", "-o", &npy]);
    assert!(output.status.success() && std::fs::read(npy).expect("written").starts_with(b"\x93NUMPY"));
    std::fs::remove_dir_all(&folder).expect("removed");
}
