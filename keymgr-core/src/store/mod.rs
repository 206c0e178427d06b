//! What a repository keeps of the core: objects as rows of tables, and what the log says of each.
//!
//! It refuses to know where they are kept.

mod packed;
mod row;
mod schema;
mod value;

pub use packed::{Packed, PackedRow};
pub use row::{Change, Hash, Row, Stored};
pub use schema::{Definition, Table};
pub use value::{Kind, Value, ValueRef};
