//! `--html`: the report as one self-contained page with plots, for light and dark screens.
//!
//! The page is a template with the report in it; a short script draws the plots from it as SVG.

use serde_json::Value;

const TEMPLATE: &str = include_str!("page.html");

/// Where the report goes in the template.
const PLACE: &str = "/*REPORT*/null";

/// The text of the page.
pub fn page(report: &Value) -> String {
    // No text of the report can end the script it stands in.
    let json = report.to_string().replace('<', "\\u003c");
    TEMPLATE.replacen(PLACE, &json, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_report_is_in_the_page_and_cannot_leave_its_script() {
        assert_eq!(TEMPLATE.matches(PLACE).count(), 1);
        let page = page(&json!({ "model": "</script><b>" }));
        assert!(page.contains(r#"{"model":"\u003c/script>\u003cb>"}"#), "{page}");
        assert!(!page.contains("http://") || page.contains("http://www.w3.org/2000/svg"));
        assert!(!page.contains("https://"), "the page needs no network");
    }
}
