//! A report from the manager, page by page.

use super::Report;
use crate::client::{Client, ClientProblem};

/// The whole report of a path below `/api/v1/reports`.
pub async fn fetch(client: &Client, path: &str) -> Result<Report, ClientProblem> {
    let mark = if path.contains('?') { '&' } else { '?' };
    let base = format!("/reports/{path}{mark}limit=1000");
    let mut report: Report = client.get(&base).await?;
    while let Some(next) = report.next.take() {
        let page: Report = client.get(&format!("{base}&after={next}")).await?;
        report.rows.extend(page.rows);
        report.next = page.next;
    }
    Ok(report)
}
