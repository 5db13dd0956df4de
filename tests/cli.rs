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
    assert_eq!(rows_of("device").len() as u64, report["dispatches_per_token"].as_u64().expect("a count"));

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
