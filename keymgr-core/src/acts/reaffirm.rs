//! What was approved before is approved again, because officers who approved it have left.

use crate::action::{Act, Reaffirmed};
use crate::grants;
use crate::ids::ActionId;
use crate::key::{Key, KeySet};
use crate::node::{Member, Node, Zone};
use crate::refusal::Refusal;
use crate::table::Change;

pub(super) fn reaffirm(tx: &mut Change<'_>, action: ActionId, what: &Reaffirmed) -> Result<(), Refusal> {
    match what {
        Reaffirmed::Zone(zone) => {
            tx.get::<Zone>(zone)?;
            for (zone, node) in tx.keys_in::<Member>(grants::members_ever(*zone)) {
                let member = tx.edit::<Member>(&(zone, node))?;
                member.action = action;
                if member.left {
                    tx.edit::<Node>(&node)?.rights.push(action);
                }
            }
        }
        Reaffirmed::KeySet(set) => tx.edit::<KeySet>(set)?.approved_by = action,
        Reaffirmed::Key(key)
        | Reaffirmed::End(key)
        | Reaffirmed::RollBack(key)
        | Reaffirmed::Suspension(key)
        | Reaffirmed::Resumption(key) => {
            if grants::of(&Act::Reaffirm(*what), tx)?.is_empty() {
                return Err(Refusal::Unfit("nothing that was approved about the key is still to be done"));
            }
            tx.edit::<Key>(key)?.by_right(action);
            if matches!(what, Reaffirmed::Suspension(_) | Reaffirmed::Resumption(_)) {
                tx.edit::<KeySet>(&key.key_set)?.stilled_by = Some(action);
            }
        }
    }
    Ok(())
}
