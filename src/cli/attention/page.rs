//! The page of `aquatint attention`: one file that needs nothing from elsewhere.

use serde_json::{Value, json};

use crate::engine::AttentionMap;
use crate::vectors::escape;

/// The maps of one kind: what looks, what is looked at.
pub struct Part {
    pub name: &'static str,
    pub queries: Vec<String>,
    pub keys: Vec<String>,
    pub maps: Vec<AttentionMap>,
}

/// Writes the page.
pub fn page(title: &str, text: &str, parts: &[Part]) -> String {
    let parts: Vec<Value> = parts.iter().map(part).collect();
    // No text of the data can end the element it stands in.
    let data = json!({ "parts": parts }).to_string().replace('<', "\\u003c");
    let fields = [
        ("{css}", include_str!("page.css").to_owned()),
        ("{js}", include_str!("page.js").to_owned()),
        ("{title}", escape(title)),
        ("{text}", escape(text)),
        ("{data}", data),
    ];
    let mut rest = include_str!("page.html");
    let mut page = String::new();
    // From left to right, so that nothing that was filled in is taken for a field.
    while let Some((at, name, value)) =
        fields.iter().filter_map(|(name, value)| Some((rest.find(name)?, name, value))).min()
    {
        page.push_str(&rest[..at]);
        page.push_str(value);
        rest = &rest[at + name.len()..];
    }
    page + rest
}

fn part(part: &Part) -> Value {
    let layers: Vec<usize> = part.maps.iter().map(|map| map.layer).collect();
    let weights = part.maps.iter().flat_map(|map| &map.weights);
    let bytes = weights.flat_map(|w| ((w.clamp(0.0, 1.0) * 65535.0).round() as u16).to_le_bytes());
    json!({
        "name": part.name,
        "queries": part.queries,
        "keys": part.keys,
        "layers": layers,
        "heads": part.maps.first().map_or(0, |map| map.n_heads),
        "weights": base64(&bytes.collect::<Vec<u8>>()),
    })
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0u32, |word, (i, &b)| word | u32::from(b) << (16 - 8 * i));
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize] as char;
            text.push(if i <= group.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::AttentionPart;

    #[test]
    fn bytes_in_letters() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn no_text_leaves_its_place() {
        let map = AttentionMap {
            part: AttentionPart::Encoder,
            layer: 0,
            n_heads: 1,
            n_tokens: 1,
            n_positions: 1,
            weights: vec![1.0],
        };
        let token = vec!["</script>{js}".to_owned()];
        let part = Part { name: "own", queries: token.clone(), keys: token, maps: vec![map] };
        let page = page("<b>{data}", "</p>", &[part]);
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("<title>&lt;b&gt;{data}</title>") && page.contains("&lt;/p&gt;"));
        assert!(page.contains("\\u003c/script>{js}") && page.contains("\"weights\":\"//8=\""));
        assert!(!page.contains("http"), "nothing comes from elsewhere");
    }
}
