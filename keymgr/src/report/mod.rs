//! Reports for people and auditors. The manager makes them from what its lists show and serves them as JSON, page by
//! page; whoever has one renders it as HTML that prints well and refers to nothing outside of itself, or as CSV. A
//! report states facts and no compliance.

pub(crate) mod campaign;
pub(crate) mod compliance;
pub(crate) mod facts;
mod fetch;
pub(crate) mod keys;
pub(crate) mod nodes;
mod words;

pub use fetch::fetch;

use askama::Template;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fact in front of a table: name and value.
pub type Fact = (String, String);

/// A report: facts about it, and one table; or a page of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body{font:14px/1.45 sans-serif;margin:2em;color:#111}h1{font-size:1.4em}
dl{display:grid;grid-template-columns:max-content auto;gap:.2em 1em}dt{font-weight:600}dd{margin:0}
table{border-collapse:collapse;width:100%;margin-top:1em}th,td{border:1px solid #999;padding:.25em .5em;text-align:left}
th{background:#eee}tr{break-inside:avoid}thead{display:table-header-group}
@media print{body{margin:0;font-size:10pt}@page{margin:15mm}}
</style></head><body><h1>{{ title }}</h1><dl>
{% for (name, value) in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl><table><thead><tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></body></html>
"#
)]
pub struct Report {
    /// What it is.
    pub title: String,
    /// Facts in front of the table: name and value. They come with the first page.
    pub facts: Vec<Fact>,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Cells, a row each.
    pub rows: Vec<Vec<String>>,
    /// For the next page; none when this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Report {
    /// As HTML.
    pub fn html(&self) -> Result<String, askama::Error> {
        self.render()
    }

    /// As CSV (RFC 4180): the table, and after an empty line the facts, a line each. A cell that a spreadsheet would
    /// take for a formula gets a quote in front; a dash alone is none.
    pub fn csv(&self) -> String {
        let cell = |text: &String| {
            let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text != "-";
            let guard = if formula { "'" } else { "" };
            format!("\"{guard}{}\"", text.replace('"', "\"\""))
        };
        let line = |cells: &[String]| cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\r\n";
        let table = std::iter::once(&self.columns).chain(&self.rows).map(|cells| line(cells));
        let facts = self.facts.iter().map(|(name, value)| line(&[name.clone(), value.clone()]));
        table.chain(["\r\n".to_owned()]).chain(facts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_stays_text() {
        let report = Report {
            title: "Nodes & <more>".to_owned(),
            facts: vec![("centre".to_owned(), "<b>".to_owned())],
            columns: vec!["name".to_owned()],
            rows: ["=SUM(\"1\")", "<script>", "-", "-1"].map(|cell| vec![cell.to_owned()]).to_vec(),
            next: None,
        };
        let html = report.html().unwrap();
        assert!(!html.contains("<script>") && !html.contains("<b>") && !html.contains("<more>"));
        assert!(!html.contains("http"), "nothing outside of it");
        assert!(html.contains("@media print"));
        assert_eq!(
            report.csv(),
            "\"name\"\r\n\"'=SUM(\"\"1\"\")\"\r\n\"<script>\"\r\n\"-\"\r\n\"'-1\"\r\n\r\n\"centre\",\"<b>\"\r\n"
        );
    }
}
