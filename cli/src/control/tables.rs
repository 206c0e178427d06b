//! The registered decimalisation tables of a data folder.

use crate::exit::Failure;
use crate::private::{read_private, write_private};
use pinblock::ibm3624::DecimalisationTable;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "dectabs.json";
/// Every clear table is looked through at each use.
const TABLES_MAX: usize = 64;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tables: Vec<String>,
}

/// A table from its sixteen digits.
pub fn parse(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes().try_into().ok()?;
    DecimalisationTable::new(text.as_bytes()).ok().map(|_| digits)
}

/// What is wrong with a text that is no table.
pub const RULE: &str = "a table has 16 digits, at least 8 of them different and none more than four times";

/// Reads the file of a folder; no tables when there is none.
pub fn load(folder: &Path) -> Result<Vec<[u8; 16]>, Failure> {
    let path = folder.join(FILE);
    let failure = |text: String| Failure::environment(format!("{}: {text}", path.display()));
    let Some(text) = read_private(&path).map_err(|error| failure(error.to_string()))? else {
        return Ok(Vec::new());
    };
    let file: File = serde_json::from_str(&text).map_err(|error| failure(error.to_string()))?;
    let tables: Option<Vec<_>> = file.tables.iter().map(|text| parse(text)).collect();
    tables.filter(|tables| tables.len() <= TABLES_MAX).ok_or_else(|| failure(RULE.to_owned()))
}

/// Adds a table to the file of a folder, and gives all that are in it. One that is there stays there once.
pub fn add(folder: &Path, table: [u8; 16]) -> Result<Vec<[u8; 16]>, Failure> {
    let mut tables = load(folder)?;
    if !tables.contains(&table) {
        if tables.len() >= TABLES_MAX {
            return Err(Failure::check(format!("{TABLES_MAX} tables are registered already")));
        }
        tables.push(table);
    }
    let text = |table: &[u8; 16]| String::from_utf8_lossy(table).into_owned();
    let file = File { tables: tables.iter().map(text).collect() };
    let text = serde_json::to_string_pretty(&file).map_err(Failure::environment)?;
    let path = folder.join(FILE);
    write_private(&path, &text)
        .map_err(|error| Failure::environment(format!("{}: {error}", path.display())))?;
    Ok(tables)
}
