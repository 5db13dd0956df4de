//! Reading CSV files (RFC 4180): fields in quotes may hold commas, quotes and line ends.

/// The records of a file, each with the line it begins at. Empty lines are left out.
pub fn records(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut records = Vec::new();
    let mut fields = vec![String::new()];
    let (mut quoted, mut line, mut first) = (false, 1, 1);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        let field = fields.last_mut().expect("there is always a field");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                push(&mut records, first, std::mem::replace(&mut fields, vec![String::new()]));
                first = line;
            }
            c => field.push(c),
        }
    }
    push(&mut records, first, fields);
    records
}

fn push(records: &mut Vec<(usize, Vec<String>)>, line: usize, fields: Vec<String>) {
    if fields.iter().any(|field| !field.is_empty()) {
        records.push((line, fields));
    }
}

#[cfg(test)]
mod tests {
    use super::records;

    #[test]
    fn quotes_hold_commas_quotes_and_line_ends() {
        let found = records("a,b\r\n\"x, \"\"y\"\"\",\"one\ntwo\"\n\n,3");
        let expected = [(1, vec!["a", "b"]), (2, vec!["x, \"y\"", "one\ntwo"]), (5, vec!["", "3"])];
        assert_eq!(found.len(), expected.len());
        for ((line, fields), (expected_line, expected)) in found.iter().zip(expected) {
            assert_eq!(
                (*line, fields.iter().map(String::as_str).collect::<Vec<_>>()),
                (expected_line, expected)
            );
        }
    }
}
