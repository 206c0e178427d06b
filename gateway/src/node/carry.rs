//! Mail by file, for a node that no network reaches: one package in, one out. The node's service must not run
//! meanwhile, which the store's lock ensures.

use super::side::{NodeSide, SideError};
use keylink::message::{Mail, Package};

/// Takes a package for this node; gives the package for the manager. `None` when the bytes are no package for it.
pub async fn carry(side: &mut NodeSide, package: &[u8]) -> Result<Option<Vec<u8>>, SideError> {
    let node = side.machine().state().node;
    let Some(mail) = Package::<Mail>::from_bytes(package, node) else { return Ok(None) };
    side.by_file();
    let said = side.mail(&mail).await?;
    side.settle().await?;
    Ok(Some(Package::new(node, side.answer(said)?).to_bytes()))
}
