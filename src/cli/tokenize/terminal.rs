//! Tokens in colours, for people at a terminal.

use unicode_width::UnicodeWidthStr;

use super::Section;
use super::analysis::{Look, Named, visible};
use crate::text::Token;

/// Backgrounds of neighbouring tokens, all light, under black text: legible on dark and light terminals.
const BACKGROUNDS: [u8; 6] = [153, 157, 223, 218, 189, 229];
/// Texts of more tokens are shown without their ids.
const N_WITH_IDS_MAX: usize = 400;

/// The width of the terminal in columns.
pub fn width() -> usize {
    let from_env = || std::env::var("COLUMNS").ok()?.parse().ok();
    let asked = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    from_env().or(asked).unwrap_or(100).clamp(20, 400)
}

/// The tokens of each tokenizer: with ids below them where the text is short and the tokenizer alone.
pub fn tokens(tokenizers: &[Named], section: &Section, width: usize) -> String {
    if let ([named], [analysis]) = (tokenizers, &section.analyses[..])
        && analysis.tokens.len() <= N_WITH_IDS_MAX
    {
        return with_ids(named, section, width);
    }
    tokens_plainly(tokenizers, section, width, true)
}

/// The tokens of each tokenizer in running text. Without colours a bar stands between tokens.
pub fn tokens_plainly(tokenizers: &[Named], section: &Section, width: usize, colours: bool) -> String {
    let names = tokenizers.iter().map(|t| t.name.width()).max().unwrap_or(0);
    let digits = section.analyses.iter().map(|a| a.tokens.len().to_string().len()).max().unwrap_or(1);
    // Long texts have the name above them, short ones before them.
    let beside = section.size.n_chars <= 400 && names + digits + 30 < width;
    let mut out = String::new();
    for (named, analysis) in tokenizers.iter().zip(&section.analyses) {
        let n_tokens = analysis.tokens.len();
        let gap = names - named.name.width();
        let head = match tokenizers.len() {
            1 if !beside => String::new(),
            _ => format!("{}{:gap$}  {n_tokens:>digits$}  ", named.name, ""),
        };
        let cells =
            analysis.tokens.iter().enumerate().map(|(i, t)| cell(named, &section.text, t, i, colours));
        let indent = if beside { head.width() } else { 0 };
        if colours && !head.is_empty() {
            out.push_str(&format!("\x1b[1m{head}\x1b[0m"));
        } else {
            out.push_str(&head);
        }
        if !beside && !head.is_empty() {
            out.push('\n');
        }
        out.push_str(&flow(cells, indent, width, colours));
    }
    out
}

/// A token on the page: its text, how wide it is, whether the line ends behind it.
struct Cell {
    text: String,
    width: usize,
    ends_line: bool,
}

fn cell(named: &Named, text: &str, token: &Token, index: usize, colours: bool) -> Cell {
    let (shown, look) = label(named, text, token);
    let ends_line = shown.ends_with('⏎');
    let width = shown.width();
    let text = if colours { paint(&shown, look, index) } else { shown };
    Cell { text, width, ends_line }
}

/// The text of a token in running text: what it covers, unless that is no whole character or shared with
/// other tokens.
fn label(named: &Named, text: &str, token: &Token) -> (String, Look) {
    let shown = named.shown(token.id);
    match (shown.look, text.get(token.start..token.end)) {
        (Look::Text, Some(source)) if !source.is_empty() => (visible(source), Look::Text),
        (Look::Unknown, Some(source)) if !source.is_empty() => (visible(source), Look::Unknown),
        (look, _) => (visible(&shown.text), look),
    }
}

fn paint(text: &str, look: Look, index: usize) -> String {
    let background = BACKGROUNDS[index % BACKGROUNDS.len()];
    match look {
        Look::Text => format!("\x1b[38;5;16;48;5;{background}m{text}\x1b[0m"),
        // Bytes are in italics, special tokens white on purple, unknown text white on red.
        Look::Bytes => format!("\x1b[3;38;5;238;48;5;{background}m{text}\x1b[0m"),
        Look::Special => format!("\x1b[1;38;5;231;48;5;90m{text}\x1b[0m"),
        Look::Unknown => format!("\x1b[38;5;231;48;5;124m{text}\x1b[0m"),
    }
}

/// Cells one behind the other, broken into lines of `width` columns, all but the first indented.
fn flow(cells: impl Iterator<Item = Cell>, indent: usize, width: usize, colours: bool) -> String {
    let mut out = String::new();
    let mut column = indent;
    let mut line_is_new = true;
    for cell in cells {
        let bar = usize::from(!colours && !line_is_new);
        if column + bar + cell.width > width && !line_is_new {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            (column, line_is_new) = (indent, true);
        }
        if !colours && !line_is_new {
            out.push('|');
            column += 1;
        }
        out.push_str(&cell.text);
        column += cell.width;
        line_is_new = false;
        if cell.ends_line {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            (column, line_is_new) = (indent, true);
        }
    }
    let kept = out.trim_end_matches([' ', '\n']).len();
    out.truncate(kept);
    out.push('\n');
    out
}

/// Pieces in colours with their ids below.
fn with_ids(named: &Named, section: &Section, width: usize) -> String {
    let mut out = String::new();
    let (mut pieces, mut ids, mut column) = (String::new(), String::new(), 0);
    let mut end_line = |pieces: &mut String, ids: &mut String, column: &mut usize| {
        if !pieces.is_empty() {
            out.push_str(&format!("{pieces}\n\x1b[2m{}\x1b[0m\n", ids.trim_end()));
        }
        pieces.clear();
        ids.clear();
        *column = 0;
    };
    for (i, token) in section.analyses[0].tokens.iter().enumerate() {
        let (text, look) = label(named, &section.text, token);
        let id = token.id.to_string();
        let cell = text.width().max(id.len());
        if column > 0 && column + cell > width {
            end_line(&mut pieces, &mut ids, &mut column);
        }
        let gap = cell - text.width();
        pieces.push_str(&paint(&text, look, i));
        pieces.push_str(&" ".repeat(gap + 1));
        ids.push_str(&format!("{id:cell$} "));
        column += cell + 1;
        if text.ends_with('⏎') {
            end_line(&mut pieces, &mut ids, &mut column);
        }
    }
    end_line(&mut pieces, &mut ids, &mut column);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(words: &[&str]) -> impl Iterator<Item = Cell> {
        let cell = |word: &&str| Cell {
            text: (*word).to_owned(),
            width: word.width(),
            ends_line: word.ends_with('⏎'),
        };
        words.iter().map(cell).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn lines_break_at_the_width_and_at_line_ends() {
        assert_eq!(flow(cells(&["abc", "de", "f"]), 2, 7, true), "abcde\n  f\n");
        assert_eq!(flow(cells(&["日本", "語", "x⏎", "y"]), 0, 20, false), "日本|語|x⏎\ny\n");
    }
}
