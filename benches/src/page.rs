//! Writes what was recorded into the documents: tables between marks, and plots beside them.

use crate::curves;
use crate::host::Host;
use crate::pkcs11;
use crate::ratios::{self, figure, goal, method, sides};
use crate::record::{self, folder};
use crate::rows::Row;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads the records and writes tables and plots.
pub fn run() -> io::Result<()> {
    let ratios: ratios::Document = record::read(&folder().join("ratios.json"))?;
    let curves: curves::Document = record::read(&folder().join("curves.json"))?;
    let plots = root().join("docs/plots");
    fs::create_dir_all(&plots)?;
    for curve in &curves.curves {
        fs::write(plots.join(format!("{}.svg", curve.id)), curve.plot().svg_file())?;
    }
    let page = root().join("docs/performance.md");
    between(&page, "ratios", &table(&ratios, |_| true))?;
    between(&page, "curves", &growth(&curves))?;
    centre()?;
    let readme = root().join("README.md");
    between(&readme, "ratios", &table(&ratios, |row| row.must.is_some()))?;
    let token = folder().join("token.json");
    if token.exists() { between(&readme, "token", &pkcs11::table(&record::read(&token)?)) } else { Ok(()) }
}

/// Writes the table of the key management centre, when there are figures and this program takes them.
pub fn centre() -> io::Result<()> {
    #[cfg(feature = "centre")]
    if let Some(table) = crate::store::table()? {
        between(&root().join("docs/performance.md"), "centre", &table)?;
    }
    Ok(())
}

// Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->`.
fn between(path: &Path, name: &str, text: &str) -> io::Result<()> {
    let old = fs::read_to_string(path)?;
    let new = replaced(&old, name, text)
        .ok_or_else(|| io::Error::other(format!("{}: no marks of {name}", path.display())))?;
    fs::write(path, new)
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let (head, rest) = old.split_once(&format!("<!-- {name} -->"))?;
    let (_, tail) = rest.split_once(&format!("<!-- /{name} -->"))?;
    Some(format!("{head}<!-- {name} -->\n{text}<!-- /{name} -->{tail}"))
}

fn table(document: &ratios::Document, shown: impl Fn(&Row) -> bool) -> String {
    let mut out = String::from("| figure | measured | must | aim | sides |\n|---|---|---|---|---|\n");
    for row in document.rows.iter().filter(|row| shown(row)) {
        let (must, aim) = (goal(row, row.must, row.must_reached), goal(row, row.aim, row.aim_reached));
        let cpu =
            row.cpu_ratio.filter(|_| row.sides.len() == 2 && row.must.is_some() && row.id.starts_with("cc"));
        let cpu = cpu.map(|cpu| format!("; by CPU {:.2}", cpu.median)).unwrap_or_default();
        let _never_fails =
            writeln!(out, "| {} | {}{cpu} | {must} | {aim} | {} |", row.what, figure(row), sides(row));
    }
    let day = &document.host.day;
    out + &format!(
        "\n{}, recorded on {day} by `cargo run --release -p benches -- record`.\n",
        sentence(&method(document))
    )
}

// The method on one line, its last full stop left to what follows.
fn sentence(text: &str) -> String {
    text.replace('\n', " ").trim_end_matches('.').to_owned()
}

fn growth(document: &curves::Document) -> String {
    let mut out = String::new();
    for curve in &document.curves {
        let _never_fails = writeln!(out, "![Cost by {}](plots/{}.svg)\n", curve.grows, curve.id);
        let _never_fails = writeln!(
            out,
            "| {} ({}) | echo, per s | gateway, per s | ratio | echo, ns | gateway, ns |\n|---|---|---|---|---|---|",
            curve.grows, curve.what
        );
        for point in &curve.points {
            let _never_fails = writeln!(
                out,
                "| {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} |",
                point.at,
                point.echo_per_second,
                point.per_second,
                point.per_second / point.echo_per_second,
                point.echo_cpu_ns,
                point.cpu_ns
            );
        }
        out.push('\n');
    }
    let Host { commit, day, .. } = &document.host;
    let (pairs, seconds) = (document.pairs, document.seconds);
    out + &format!(
        "Medians of {pairs} interleaved pairs of {seconds} s a point, commit {commit}, {day}; same machine and method as \
         above.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let old = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        let new = replaced(old, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n");
        assert_eq!(replaced(&new, "x", "new\n").unwrap(), new);
        assert_eq!(replaced(old, "y", ""), None);
    }
}
