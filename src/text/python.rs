//! What chat templates expect of Python: `json.dumps` and `strftime`.

use std::fmt::Write;

use serde_json::Value;

/// How `json.dumps` writes.
pub struct JsonStyle {
    /// Blanks per level; lines are broken if given.
    pub indent: Option<usize>,
    /// Between items and between a key and its value.
    pub separators: (String, String),
    pub sort_keys: bool,
    pub ascii: bool,
}

impl JsonStyle {
    /// The separators that Python takes by default.
    pub fn default_separators(indent: Option<usize>) -> (String, String) {
        (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned())
    }
}

/// `json.dumps(value)`.
pub fn to_json(value: &Value, style: &JsonStyle) -> String {
    let mut text = String::new();
    write_json(value, style, 0, &mut text);
    text
}

fn write_json(value: &Value, style: &JsonStyle, depth: usize, text: &mut String) {
    let line = |depth: usize, text: &mut String| {
        if let Some(indent) = style.indent {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    match value {
        Value::Array(items) if items.is_empty() => text.push_str("[]"),
        Value::Object(entries) if entries.is_empty() => text.push_str("{}"),
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { &style.separators.0 });
                line(depth + 1, text);
                write_json(item, style, depth + 1, text);
            }
            line(depth, text);
            text.push(']');
        }
        Value::Object(entries) => {
            text.push('{');
            let mut entries: Vec<_> = entries.iter().collect();
            if style.sort_keys {
                entries.sort_by_key(|(key, _)| *key);
            }
            for (i, (key, item)) in entries.into_iter().enumerate() {
                text.push_str(if i == 0 { "" } else { &style.separators.0 });
                line(depth + 1, text);
                write_string(key, style.ascii, text);
                text.push_str(&style.separators.1);
                write_json(item, style, depth + 1, text);
            }
            line(depth, text);
            text.push('}');
        }
        Value::String(string) => write_string(string, style.ascii, text),
        other => text.push_str(&other.to_string()),
    }
}

fn write_string(string: &str, ascii: bool, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            c if (c as u32) < 0x20 || (ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(text, "\\u{unit:04x}").expect("writing to a string");
                }
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// `strftime` in UTC, `seconds` after 1970 began. Directives it does not know stay as they are.
pub fn strftime(format: &str, seconds: u64) -> String {
    let days = (seconds / 86_400) as i64;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (year, month, day) = date(days);
    let weekday = (days + 3) as usize % 7;
    let first = days_before(year);
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let mut directive = characters.next().unwrap_or('%');
        // `%-d` is `%d` without the leading zero.
        let bare = directive == '-';
        if bare {
            directive = characters.next().unwrap_or('%');
        }
        let number = match directive {
            'd' => Some((day as u64, 2)),
            'm' => Some((month as u64, 2)),
            'y' => Some((year as u64 % 100, 2)),
            'Y' => Some((year as u64, 4)),
            'H' => Some((hour, 2)),
            'I' => Some(((hour + 11) % 12 + 1, 2)),
            'M' => Some((minute, 2)),
            'S' => Some((second, 2)),
            'j' => Some(((days - first + 1) as u64, 3)),
            _ => None,
        };
        match (directive, number) {
            (_, Some((number, _))) if bare => text.push_str(&number.to_string()),
            (_, Some((number, width))) => {
                write!(text, "{number:0width$}").expect("writing to a string");
            }
            ('B', _) => text.push_str(MONTHS[month - 1]),
            ('b' | 'h', _) => text.push_str(&MONTHS[month - 1][..3]),
            ('A', _) => text.push_str(DAYS[weekday]),
            ('a', _) => text.push_str(&DAYS[weekday][..3]),
            ('p', _) => text.push_str(if hour < 12 { "AM" } else { "PM" }),
            ('F', _) => text.push_str(&strftime("%Y-%m-%d", seconds)),
            ('T', _) => text.push_str(&strftime("%H:%M:%S", seconds)),
            ('Z', _) => text.push_str("UTC"),
            ('z', _) => text.push_str("+0000"),
            ('%', _) => text.push('%'),
            (other, _) => text.extend(['%', other]),
        }
    }
    text
}

/// Days from 1970-01-01 to the first day of `year`, in the Gregorian calendar.
fn days_before(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before / 4 - before / 100 + before / 400 - 719_162
}

/// Year, month (from 1) and day (from 1) of a day counted from 1970-01-01.
fn date(days: i64) -> (i64, usize, i64) {
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut rest = days - days_before(year);
    let leap = days_before(year + 1) - days_before(year) == 366;
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in lengths.into_iter().enumerate() {
        if rest < length {
            return (year, month + 1, rest + 1);
        }
        rest -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(strftime("%d %b %Y %H:%M:%S %A %j", 0), "01 Jan 1970 00:00:00 Thursday 001");
        assert_eq!(strftime("%B %-d, %Y", 1_709_164_800), "February 29, 2024");
        assert_eq!(strftime("%F %T %a %j %Q %%", 1_735_689_599), "2024-12-31 23:59:59 Tue 366 %Q %");
    }

    #[test]
    fn json_as_python_writes_it() {
        let value: Value = serde_json::from_str(r#"{"b":[1,2.0,"é<\u0001"],"a":{},"c":null}"#).expect("JSON");
        let style = |indent, sort_keys, ascii| JsonStyle {
            indent,
            separators: JsonStyle::default_separators(indent),
            sort_keys,
            ascii,
        };
        assert_eq!(
            to_json(&value, &style(None, false, false)),
            r#"{"b": [1, 2.0, "é<\u0001"], "a": {}, "c": null}"#
        );
        assert_eq!(
            to_json(&value, &style(Some(2), true, true)),
            "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2.0,\n    \"\\u00e9<\\u0001\"\n  ],\n  \"c\": null\n}"
        );
    }
}
