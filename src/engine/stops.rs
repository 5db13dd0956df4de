//! Texts that end a generation, found across the borders of tokens.

/// What to look for.
#[derive(Debug, Clone, Default)]
pub(super) struct Stops {
    exact: Vec<String>,
    /// As they were given, and letter by letter in lower case.
    any_case: Vec<(String, Vec<char>)>,
}

impl Stops {
    pub fn new(exact: &[String]) -> Stops {
        Stops { exact: exact.iter().filter(|stop| !stop.is_empty()).cloned().collect(), any_case: Vec::new() }
    }

    /// Also looks for these, in capitals or not.
    pub fn add_any_case(&mut self, phrases: &[String]) {
        let phrases = phrases.iter().filter(|phrase| !phrase.is_empty());
        self.any_case.extend(phrases.map(|phrase| (phrase.clone(), lower(phrase).0)));
    }

    /// Where the first of them begins in `text`, in bytes, and which one it is.
    pub fn find(&self, text: &str) -> Option<(usize, &str)> {
        let exact = self.exact.iter().filter_map(|stop| Some((text.find(stop.as_str())?, stop.as_str())));
        let mut first = exact.min();
        if !self.any_case.is_empty() {
            let (letters, places) = lower(text);
            for (phrase, wanted) in &self.any_case {
                let at = letters.windows(wanted.len()).position(|window| window == &wanted[..]);
                if let Some(at) = at
                    && first.is_none_or(|(best, _)| places[at] < best)
                {
                    first = Some((places[at], phrase));
                }
            }
        }
        first
    }

    /// The length of the longest end of `text`, in bytes, that one of them may begin with.
    pub fn overlap(&self, text: &str) -> usize {
        let mut longest = self.exact.iter().map(|stop| overlap(text, stop)).max().unwrap_or(0);
        if !self.any_case.is_empty() {
            let (letters, places) = lower(text);
            for (_, wanted) in &self.any_case {
                let most = (wanted.len() - 1).min(letters.len());
                let n = (1..=most).rev().find(|&n| letters[letters.len() - n..] == wanted[..n]);
                longest = longest.max(n.map_or(0, |n| text.len() - places[letters.len() - n]));
            }
        }
        longest
    }
}

/// The letters of a text in lower case, and the byte of the text that each comes from.
fn lower(text: &str) -> (Vec<char>, Vec<usize>) {
    text.char_indices().flat_map(|(i, c)| c.to_lowercase().map(move |c| (c, i))).unzip()
}

/// The length of the longest end of `text` that is a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let lengths = stop.char_indices().map(|(i, _)| i).skip(1);
    lengths.filter(|&n| text.ends_with(&stop[..n])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_may_begin_a_stop_string_is_held() {
        assert_eq!(overlap("one two", "\n\n"), 0);
        assert_eq!(overlap("one two\n", "\n\n"), 1);
        assert_eq!(overlap("say St", "Stop"), 2);
        assert_eq!(overlap("é", "éa"), 2);
    }

    #[test]
    fn phrases_are_found_in_capitals_or_not() {
        let mut stops = Stops::new(&["End".into()]);
        stops.add_any_case(&["Straße İx".into(), "lily".into(), String::new()]);
        assert_eq!(stops.find("the end"), None);
        assert_eq!(stops.find("The End of LILY"), Some((4, "End")));
        assert_eq!(stops.find("É LiLy End"), Some((3, "lily")));
        assert_eq!(stops.find("die STRAßE i̇X"), Some((4, "Straße İx")));
        assert_eq!(stops.overlap("É LI"), 2);
        assert_eq!(stops.overlap("the stra"), 4);
        assert_eq!(stops.overlap("the En"), 2);
        assert_eq!(stops.overlap("zz"), 0);
    }
}
