//! Chat templates: Jinja that turns a list of messages into the text a model was trained on.
//!
//! The environment is that of the model hub's own library: blocks leave no line ends or indentation,
//! `raise_exception`, `strftime_now`, `tojson` as Python's `json.dumps` writes it, Python's methods of
//! strings, lists and mappings. Templates come with model files, so fuel bounds their time and memory.

use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, State, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::text::python::{JsonStyle, strftime, to_json};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`; some models know more.
    pub role: String,
    pub content: String,
}

impl Message {
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// What a rendering depends on beside the messages.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// Ends the text with the start of the assistant's turn.
    pub add_generation_prompt: bool,
    /// Variables of the template, such as `enable_thinking`, `tools` or `documents`.
    pub variables: serde_json::Map<String, Json>,
    /// What `strftime_now` takes as now, in UTC. `None`: the clock.
    pub now: Option<SystemTime>,
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

const NAME: &str = "chat template";

/// Instructions and 64-byte units of data; the messages' own bytes come on top.
const FUEL: u64 = 2_000_000;

impl ChatTemplate {
    /// Compiles a template. The tokens are what `bos_token` and `eos_token` stand for in it.
    pub fn new(source: &str, bos_token: Option<&str>, eos_token: Option<&str>) -> Result<ChatTemplate> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| explain(&error))?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
        });
        // `generation` marks what the model wrote, for training; here it is a block like any other.
        let source = without_generation_tags(source);
        environment.add_template_owned(NAME, source).map_err(|error| explain(&error))?;
        Ok(ChatTemplate {
            environment,
            bos_token: bos_token.map(str::to_owned),
            eos_token: eos_token.map(str::to_owned),
        })
    }

    /// The text of a conversation.
    pub fn render(&self, messages: &[Message], options: &ChatOptions) -> Result<String> {
        let n_bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let now = options.now.unwrap_or_else(SystemTime::now);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL + n_bytes as u64));
        environment.add_function("strftime_now", move |format: String| strftime(&format, now));

        let template = environment.get_template(NAME).map_err(|error| explain(&error))?;
        let token = |token: &Option<String>| Value::from(token.as_deref().unwrap_or(""));
        let message = |message: &Message| {
            Value::from_pairs([("role", message.role.as_str()), ("content", message.content.as_str())])
        };
        let fixed = [
            ("messages", messages.iter().map(message).collect()),
            ("add_generation_prompt", Value::from(options.add_generation_prompt)),
            ("bos_token", token(&self.bos_token)),
            ("eos_token", token(&self.eos_token)),
        ];
        let variables = options.variables.iter().map(|(name, value)| (name.as_str(), from_json(value)));
        template.render(Value::from_pairs(variables.chain(fixed))).map_err(|error| explain(&error))
    }
}

/// Marks messages of `raise_exception`, which are the template's own words to the user.
const RAISED: &str = "the template says: ";

fn explain(error: &minijinja::Error) -> Error {
    let place = error.line().map_or(NAME.to_owned(), |line| format!("{NAME}, line {line}"));
    let message = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "needs more time or memory than a template may take".to_owned(),
        (_, Some(detail)) if detail.starts_with(RAISED) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    let mut cause = std::error::Error::source(error);
    let mut message = format!("{place}: {message}");
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    Error::Text(message)
}

fn tojson(
    state: &State,
    value: &Value,
    indent: Option<usize>,
    options: Kwargs,
) -> Result<String, minijinja::Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<usize>>("indent")?,
    };
    let style = JsonStyle {
        // A hostile template may ask for any number.
        indent: indent.map(|indent| indent.min(16)),
        separators: match options.get::<Option<Vec<String>>>("separators")?.as_deref() {
            Some([items, keys]) => (items.clone(), keys.clone()),
            _ => JsonStyle::default_separators(indent),
        },
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    Ok(to_json(&as_json(state, value, 0)?, &style))
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::from(value),
            (_, Some(value)) => Value::from(value),
            _ => Value::from(number.as_f64()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(entries) => {
            Value::from_pairs(entries.iter().map(|(key, value)| (key.as_str(), from_json(value))))
        }
    }
}

/// Levels of nesting that `tojson` writes: a namespace may contain itself.
const JSON_DEPTH_MAX: usize = 64;

/// Costs fuel by the size of what is written, because values may share parts any number of times.
fn as_json(state: &State, value: &Value, depth: usize) -> Result<Json, minijinja::Error> {
    let wrong = |message: String| minijinja::Error::new(ErrorKind::InvalidOperation, message);
    if depth > JSON_DEPTH_MAX {
        return Err(wrong(format!("tojson: nested deeper than {JSON_DEPTH_MAX} levels")));
    }
    state.consume_fuel(1 + value.as_str().map_or(0, |text| text.len() as u64 / 64))?;
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => match i64::try_from(value.clone()) {
            Ok(number) => Json::from(number),
            Err(_) => Json::from(u64::try_from(value.clone())?),
        },
        ValueKind::Number => Json::from(f64::try_from(value.clone())?),
        ValueKind::Seq | ValueKind::Iterable => Json::Array(
            value.try_iter()?.map(|item| as_json(state, &item, depth + 1)).collect::<Result<_, _>>()?,
        ),
        ValueKind::Map => {
            let entry =
                |key: Value| Ok((key.to_string(), as_json(state, &value.get_item(&key)?, depth + 1)?));
            Json::Object(value.try_iter()?.map(entry).collect::<Result<_, minijinja::Error>>()?)
        }
        ValueKind::String => Json::from(value.as_str()),
        kind => return Err(wrong(format!("tojson: a value of type {kind} is no JSON"))),
    })
}

/// Turns `{% generation %}` blocks into `{% if true %}` blocks, keeping the lines' numbers.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        text.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, behind) = tag.split_at(end);
        let name = tag.trim_start_matches("{%").trim_end_matches("%}").trim_matches('-').trim();
        match name {
            "generation" => text.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => text.push_str(&tag.replace("endgeneration", "endif")),
            _ => text.push_str(tag),
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String> {
        let messages = [Message::new("user", "Hi <b>é</b>"), Message::new("assistant", "Yo")];
        ChatTemplate::new(source, Some("<s>"), None)?.render(&messages, &ChatOptions::default())
    }

    #[test]
    fn environment() {
        let text = render(
            "{{ bos_token }}{% for m in messages %}\n  {% if true %}\n{{ m.role }}:{{ m['content'] }};\n{% endif %}\n{% endfor %}|{{ eos_token }}",
        );
        assert_eq!(text.expect("renders"), "<s>user:Hi <b>é</b>;\nassistant:Yo;\n|");
        let text = render(
            "{{ messages[0] | tojson }} {{ ' a '.strip() }} {{ messages[::-1][0].role }} {% generation %}g{% endgeneration %}",
        );
        assert_eq!(text.expect("renders"), r#"{"role": "user", "content": "Hi <b>é</b>"} a assistant g"#);
    }

    #[test]
    fn errors_say_where() {
        let message = |source: &str| render(source).expect_err("must fail").to_string();
        assert_eq!(message("a\n{% if %}"), "chat template, line 2: syntax error: unexpected end of block");
        let raised = message("\n\n{{ raise_exception('roles must alternate') }}");
        assert_eq!(raised, "chat template, line 3: the template says: roles must alternate");
        let endless = message(
            "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        );
        assert_eq!(endless, "chat template, line 1: needs more time or memory than a template may take");
    }
}
