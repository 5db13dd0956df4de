//! This report beside an earlier one: the ratio of each test, and whether it is beyond the spread.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A report of a thousand tests is far below.
const BYTES_MAX: u64 = 16 << 20;

/// Reads what `bench --json` wrote.
pub fn read(path: &Path) -> Result<Value> {
    let len = std::fs::metadata(path).map_err(|error| Error::io(path, error))?.len();
    let fail = |what: &str| Error::file(path.display(), format!("{what}; expected what bench --json wrote"));
    if len > BYTES_MAX {
        return Err(fail(&format!("has {len} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| fail(&error.to_string()))?;
    if report["tests"].as_array().is_none_or(Vec::is_empty) {
        return Err(fail("has no tests"));
    }
    Ok(report)
}

/// What makes two tests the same.
const KEY: [&str; 4] = ["n_prompt", "n_gen", "n_depth", "n_batch"];

/// Each test that both have. A ratio is beyond the spread where it differs from 1 by more than two standard
/// deviations of it.
pub fn compare(old: &Value, new: &Value) -> Value {
    let tests = |report: &Value| report["tests"].as_array().cloned().unwrap_or_default();
    let old_tests = tests(old);
    let rows: Vec<Value> = tests(new)
        .iter()
        .filter_map(|test| {
            let before = old_tests.iter().find(|other| KEY.iter().all(|key| other[key] == test[key]))?;
            let (then, now) = (before["avg_ts"].as_f64()?, test["avg_ts"].as_f64()?);
            let spread = |test: &Value, mean: f64| test["stddev_ts"].as_f64().unwrap_or(0.0) / mean;
            let ratio = now / then;
            let relative = spread(before, then).hypot(spread(test, now));
            let verdict = match ratio {
                ratio if ratio > 1.0 + 2.0 * relative => "faster",
                ratio if ratio < 1.0 / (1.0 + 2.0 * relative) => "slower",
                _ => "same",
            };
            Some(json!({
                "name": test["name"], "before": then, "after": now, "ratio": ratio,
                "spread": 2.0 * relative, "verdict": verdict,
            }))
        })
        .collect();
    let differs = |name: &str| (old[name] != new[name]).then(|| format!("{name}: {} then", old[name]));
    let other: Vec<String> = ["adapter", "model"].into_iter().filter_map(differs).collect();
    json!({ "tests": rows, "differences": other })
}

/// The comparison as a table.
pub fn table(compared: &Value) -> String {
    let mut text =
        format!("{:<20} {:>10} {:>10} {:>8} {:>9}", "against before", "then", "now", "ratio", "spread");
    for row in compared["tests"].as_array().into_iter().flatten() {
        let number = |name: &str| row[name].as_f64().unwrap_or(0.0);
        text += &format!(
            "\n{:<20} {:>10.2} {:>10.2} {:>7.2}x {:>8.1}%  {}",
            row["name"].as_str().unwrap_or(""),
            number("before"),
            number("after"),
            number("ratio"),
            100.0 * number("spread"),
            row["verdict"].as_str().unwrap_or(""),
        );
    }
    for difference in compared["differences"].as_array().into_iter().flatten() {
        text += &format!("\nnote: another {}", difference.as_str().unwrap_or(""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(speed: f64, spread: f64) -> Value {
        json!({
            "adapter": "a", "model": "m",
            "tests": [{ "name": "tg8", "n_prompt": 0, "n_gen": 8, "n_depth": 0, "n_batch": 1,
                        "avg_ts": speed, "stddev_ts": spread }],
        })
    }

    #[test]
    fn a_ratio_beyond_the_spread_is_flagged() {
        let verdict = |old: Value, new: Value| compare(&old, &new)["tests"][0]["verdict"].clone();
        assert_eq!(verdict(report(10.0, 0.1), report(20.0, 0.1)), "faster");
        assert_eq!(verdict(report(10.0, 0.1), report(5.0, 0.1)), "slower");
        assert_eq!(verdict(report(10.0, 3.0), report(12.0, 3.0)), "same");
        let mut other = report(10.0, 0.1);
        other["adapter"] = json!("b");
        let compared = compare(&other, &report(10.0, 0.1));
        assert_eq!(compared["differences"][0], "adapter: \"b\" then");
        other["tests"][0]["n_batch"] = json!(2);
        assert_eq!(compare(&other, &report(10.0, 0.1))["tests"], json!([]));
    }
}
