//! Who encrypts decimalisation tables: a backend of this process, or a worker when only those have the LMKs.

use gateway::BackendFactory;
use gateway::worker::{Spawn, encrypt_table};
use hostcmd::service::dectab;
use hsm::LmkId;
use std::fmt;
use std::sync::Arc;

/// Encrypts decimalisation tables under an LMK.
pub enum TableMaker {
    /// With a backend that is made for it.
    Here(Arc<BackendFactory>),
    /// In a worker that is started for it.
    Worker(Arc<Spawn>),
}

impl fmt::Debug for TableMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableMaker")
    }
}

impl TableMaker {
    /// Over the backend of this process.
    pub fn of_backend(backend: Arc<BackendFactory>) -> Self {
        Self::Here(backend)
    }

    /// Over workers.
    pub fn of_workers(spawn: Arc<Spawn>) -> Self {
        Self::Worker(spawn)
    }

    /// The cryptogram, or a sentence that says why not.
    pub fn encrypt(&self, lmk: LmkId, table: &[u8; 16]) -> Result<String, String> {
        let field = match self {
            Self::Worker(spawn) => encrypt_table(&**spawn, lmk, table)?,
            Self::Here(backend) => {
                let field = dectab::encrypt_over((backend)().as_mut(), lmk, table);
                let field = field.map_err(|code| code.explain().unwrap_or("refused by the backend"))?;
                field.text().to_vec()
            }
        };
        Ok(String::from_utf8_lossy(&field).into_owned())
    }
}
