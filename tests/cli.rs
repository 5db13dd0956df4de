//! The program as a user runs it.

#[path = "common/program.rs"]
mod program;

use std::path::PathBuf;
use std::process::{Command, Output};

use program::{aquatint, data, json, refused, stories};
use serde_json::Value;

const COMMANDS: &[&str] = &[
    "run",
    "chat",
    "pull",
    "list",
    "rm",
    "tokenize",
    "tokenizer train",
    "score",
    "logits",
    "bench",
    "tune",
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
fn bench_of_several_sequences_behind_a_depth_times_no_prompts() {
    let test = "bench --synthetic llama-2m:q8_0 -p 0 -n 16 -d 64 -b 4 -r 2 --json";
    let report = json(&test.split(' ').collect::<Vec<_>>());
    let row = &report["tests"][0];
    assert_eq!(row["name"], "tg16 @ d64 x 4");
    assert!(row["submissions_per_step"].as_f64().is_some_and(|n| n > 0.0 && n <= 1.0), "{row}");
}

#[test]
fn bench_reports_compares_and_draws() {
    let folder = std::env::temp_dir().join(format!("aquatint-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    let file = |name: &str| folder.join(name).display().to_string();
    let (old, page, trace) = (file("old.json"), file("page.html"), file("trace.json"));
    let tests = ["bench", "--synthetic", "llama-2m:q8_0", "-p", "8", "-n", "4", "-r", "2", "--json"];
    let report = json(&[&tests[..], &["--html", &page, "--trace", &trace]].concat());
    assert_eq!(report["schema"], "aquatint-bench-1");
    let rows = report["tests"].as_array().expect("tests");
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap_or("")).collect();
    assert_eq!(names, ["pp8", "tg4"]);
    for row in rows {
        for field in ["avg_ts", "operations_per_second", "host_us_per_dispatch", "dispatches_per_step"] {
            assert!(row[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {row}");
        }
    }
    assert!(rows[1]["bandwidth_share"].as_f64().is_some_and(|share| share > 0.0 && share < 2.0));
    assert!(rows[0]["product_share"].as_f64().is_some_and(|share| share > 0.0 && share < 3.0));
    assert!(rows[1]["submissions_per_step"].as_f64().is_some_and(|n| n > 0.0 && n <= 1.0), "{}", rows[1]);
    assert!(report["kernels"].as_array().is_some_and(|kernels| kernels.len() > 5));
    let html = std::fs::read_to_string(&page).expect("the page was written");
    assert!(html.contains("\"aquatint-bench-1\"") && html.ends_with("</html>\n"));
    let trace: Value =
        serde_json::from_str(&std::fs::read_to_string(&trace).expect("the trace was written")).expect("JSON");
    let rows_of = |category: &str| {
        let events = trace["traceEvents"].as_array().expect("events").iter();
        events.filter(|event| event["cat"] == category).cloned().collect::<Vec<Value>>()
    };
    for name in ["record", "encode", "submit", "wait"] {
        assert!(rows_of("host").iter().any(|event| event["name"] == name), "no {name}");
    }
    assert_eq!(rows_of("device").len() as u64, report["kernels_per_token"].as_u64().expect("a count"));

    std::fs::write(&old, report.to_string()).expect("a folder of our own");
    let again = json(&[&tests[..], &["--compare", &old]].concat());
    assert_eq!(again["compared"]["tests"].as_array().map(Vec::len), Some(2));
    std::fs::write(&old, "{}").expect("a folder of our own");
    refused(&[&tests[..], &["--compare", &old]].concat(), "expected what bench --json wrote");
    refused(&["bench", "--synthetic", "llama-2m"], "ARCH-SIZE:FORMAT");
    std::fs::remove_dir_all(&folder).expect("a folder of our own");
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

/// A folder of its own for a test's files.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("aquatint-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn tokenizers_stand_beside_each_other() {
    let model = data("text/unigram.model").display().to_string();
    let text = "The cat 日 sat";
    let all = json(&["tokenize", &model, "bytes", "chars", "words", text, "--json"]);
    let list = all["tokenizers"].as_array().expect("tokenizers");
    let counts: Vec<u64> = list.iter().map(|t| t["n_tokens"].as_u64().expect("a count")).collect();
    assert_eq!(counts[1..], [15, 13, 4]);
    assert!(list.iter().skip(1).all(|t| t["n_words"] == 4 && t["n_bytes"] == 15));
    assert_eq!(
        (&list[1]["exact"], &list[1]["tokens"][8]["bytes"]),
        (&Value::Bool(true), &serde_json::json!([0xe6]))
    );
    assert_eq!(list[2]["tokens"][8]["id"], u32::from('日'));
    assert_eq!(list[0]["n_unknown"], 1);

    let plain = String::from_utf8(aquatint(&["tokenize", "bytes", "words", text]).stdout).expect("UTF-8");
    assert!(plain.contains("\\xe6") && plain.contains("\"cat\"") && !plain.contains('\x1b'), "{plain}");
    let coloured = aquatint(&["tokenize", "bytes", text, "--color", "always"]).stdout;
    assert!(coloured.contains(&0x1b));
    let one = String::from_utf8(aquatint(&["tokenize", "bytes", "hé"]).stdout).expect("UTF-8");
    assert_eq!(
        one.lines().collect::<Vec<_>>(),
        ["     104  0..1  \"h\"", "     195  1..2  \"\\xc3\"", "     169  2..3  \"\\xa9\""]
    );
    refused(&["tokenize", "bytes", "words", "a", "--ids"], "expected one tokenizer");
}

/// The reference's texts and ids, as they lie in the folder, through the program.
#[test]
fn separated_texts_give_a_line_of_ids_each() {
    let vocab = data("text/bert.txt").display().to_string();
    let texts = data("text/texts.inp").display().to_string();
    let separator = "\\n__ggml_vocab_test__\\n";
    let output =
        aquatint(&["tokenize", &vocab, "--file", &texts, "--separator", separator, "--bare", "--ids"]);
    let expected = std::fs::read_to_string(data("text/bert.out")).expect("text");
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn reports_and_probes_are_one_page() {
    let folder = folder("report");
    let page = folder.join("page.html");
    let file = page.display().to_string();
    let bpe = data("text/bpe.model").display().to_string();
    let output =
        aquatint(&["tokenize", &bpe, "bytes", "<script>alert(1)</script> & 日\u{1}", "--report", &file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&page).expect("a page");
    assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
    assert!(!text.contains("<script>alert") && !text.contains('\u{1}'), "the text is escaped");
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains(" src="), "no network");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1, "nothing else is left");

    let probe = json(&["tokenize", &bpe, "chars", "--probe", "--json"]);
    let sections = probe["sections"].as_array().expect("sections");
    assert!(sections.len() > 20 && probe["findings"].as_array().expect("findings").len() > 20);
    for section in sections {
        assert_eq!(section["tokenizers"][1]["exact"], true, "{}", section["name"]);
    }
    let output = aquatint(&["tokenize", &bpe, "chars", "--probe", "--report", &file]);
    assert!(output.status.success());
    let text = std::fs::read_to_string(&page).expect("a page");
    assert!(text.contains("Amharic") && text.contains("class=\"t s\""), "languages and special tokens");
    refused(&["tokenize", "bytes", "x", "--report", "/nonexistent/page.html"], "/nonexistent/page.html");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn tokenizers_are_made_and_damaged_ones_refused() {
    let folder = folder("train");
    let (file, out) = (folder.join("text.txt"), folder.join("tokenizer.json"));
    std::fs::write(&file, "the cat sat on the mat, the dog sat on the cat\n".repeat(50)).expect("written");
    let (file, path) = (file.display().to_string(), out.display().to_string());
    for (kind, size) in
        [("bpe", "280"), ("wordpiece", "60"), ("unigram", "40"), ("word", "30"), ("char", "30")]
    {
        let made =
            json(&["tokenizer", "train", "--kind", kind, "--size", size, &file, "-o", &path, "--json"]);
        assert!(made["n_vocab"].as_u64() <= size.parse().ok(), "{made}");
        let tokens = json(&["tokenize", &path, "the cat sat", "--json", "--bare"]);
        assert_eq!((&tokens["kind"], &tokens["n_unknown"]), (&made["kind"], &0.into()));
        assert_eq!(tokens["exact"], true, "{kind}");
    }
    let before = std::fs::read(&out).expect("made");
    refused(&["tokenizer", "train", "--kind", "bpe", "--size", "10", &file, "-o", &path], "--size");
    refused(&["tokenizer", "train", "--kind", "bpe", "/nonexistent", "-o", &path], "/nonexistent");
    assert_eq!(std::fs::read(&out).expect("made"), before, "what was there stays");
    for (name, bytes) in [
        ("empty.json", &b""[..]),
        ("cut.json", &before[..before.len() / 2]),
        ("list.json", &b"[1, 2]"[..]),
        ("empty.model", &b""[..]),
        ("noise.model", &[0xff; 99][..]),
        ("noise.gguf", &[7; 99][..]),
        ("noise.tiktoken", &b"no ranks"[..]),
    ] {
        let damaged = folder.join(name);
        std::fs::write(&damaged, bytes).expect("written");
        let page = folder.join("page.html").display().to_string();
        refused(&["tokenize", &damaged.display().to_string(), "text", "--report", &page], name);
    }
    let names: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("part") || name.contains("page"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    std::fs::remove_dir_all(folder).expect("removed");
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

fn train(text: &str, name: &str, args: &[&str]) -> (PathBuf, Output) {
    let folder = std::env::temp_dir().join(format!("aquatint-cli-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("text"), text).expect("written");
    let (input, output) =
        (folder.join("text").display().to_string(), folder.join("out.bin").display().to_string());
    let mut words = vec!["vectors", "train", &input, "-o", &output, "--dim", "8"];
    words.extend(args);
    (folder, aquatint(&words))
}

#[test]
fn vectors_are_trained_and_asked() {
    let text = "the king rules the land\nthe queen rules the land\n".repeat(200);
    let (folder, output) = train(&text, "train", &["--epochs", "1", "--json"]);
    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&printed["words"], &printed["dimensions"]), (&Value::from(5), &Value::from(8)));
    assert_eq!((&printed["text_words"], &printed["fraction"]), (&Value::from(2000), &Value::from(1.0)));
    let file = folder.join("out.bin").display().to_string();
    let nearest = json(&["vectors", "nearest", &file, "king", "--json"]);
    assert_eq!(nearest["words"].as_array().expect("words").len(), 4);
    let odd = json(&["vectors", "odd", &file, "king", "queen", "land", "--json"]);
    assert_eq!(odd["words"].as_array().expect("words").len(), 3);
    let text_file = folder.join("out.txt").display().to_string();
    let converted = json(&["vectors", "convert", &file, &text_file, "--json"]);
    assert_eq!(converted["words"], 5);
    assert!(std::fs::read_to_string(&text_file).expect("text").starts_with("5 8\nthe "));
    let tests = data("vectors/pairs.tsv").display().to_string();
    let small = data("vectors/small.txt").display().to_string();
    let evaluated = json(&["vectors", "evaluate", &small, &tests, "--json"]);
    assert_eq!(evaluated["tests"][0]["unknown_percent"].as_f64().map(f64::round), Some(14.0));
    refused(&["vectors", "nearest", &small, "kingdom"], "\"kingdom\" is not among the 28 words");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn texts_that_cannot_be_trained_on_leave_no_file() {
    let long_line = "x".repeat(10 << 20);
    let cases = [
        ("", "no words"),
        ("one", "different words stand in the texts 5 times or more"),
        (long_line.as_str(), "1 different words"),
        ("a\nb\na\nb\na\nb\na\nb\na\nb\n", "no two words of the vocabulary stand in one sentence"),
    ];
    for (i, (text, expected)) in cases.iter().enumerate() {
        let (folder, output) = train(text, &format!("refused{i}"), &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expected) && !errors.contains("panicked"), "{expected}: {errors}");
        let left: Vec<_> = std::fs::read_dir(&folder).expect("the folder").flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        std::fs::remove_dir_all(folder).expect("removed");
    }
    refused(&["vectors", "train", "/nowhere/text", "-o", "/nowhere/out.bin"], "there is no such folder");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_learnt_and_resume_goes_on() {
    let folder = std::env::temp_dir().join(format!("aquatint-cli-stop-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str| folder.join(name).display().to_string();
    let text: String = (0..4000).map(|i| format!("w{} w{} w{}\n", i % 7, i % 11, i % 13)).collect();
    std::fs::write(folder.join("text"), text).expect("written");
    let (input, output) = (file("text"), file("out.txt"));
    let args = ["vectors", "train", &input, "-o", &output, "--dim", "8", "--epochs", "100000"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_aquatint"));
    let child = command.args(args).stderr(std::process::Stdio::piped()).spawn().expect("the program starts");
    std::thread::sleep(std::time::Duration::from_secs(4));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let stopped = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(stopped.status.success() && errors.contains("go on with --resume"), "{errors}");
    let words = std::fs::read_to_string(&output).expect("the vectors were written");
    assert_eq!(words.lines().count(), 14, "{words}");
    let resumed = json(&["vectors", "train", &input, "-o", &output, "--resume", "--epochs", "1", "--json"]);
    assert_eq!(resumed["dimensions"], 8);
    std::fs::remove_dir_all(folder).expect("removed");
}
