//! The program as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub fn aquatint(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aquatint")).args(args).output().expect("the program starts")
}

pub fn json(args: &[&str]) -> Value {
    let output = aquatint(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

pub fn refused(args: &[&str], expected: &str) {
    let output = aquatint(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
    assert!(output.stdout.is_empty(), "{args:?} printed a result");
    assert!(errors.contains("error: ") && errors.contains(expected), "{args:?}: {errors}");
    assert!(!errors.contains("panicked"), "{args:?}: {errors}");
}

pub fn stories() -> String {
    data("stories260K.bin").display().to_string()
}
