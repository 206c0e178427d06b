//! Optional block LB of a key block: which key this is, under the block's MAC. A block that is moved to another
//! row, node or manager opens, but says so (key-management decision 14).

use crate::ids::{Generation, KeySetId, KmcId, NodeId};
use core::fmt;

/// Content of LB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The manager that made the block.
    pub kmc: KmcId,
    /// The key set.
    pub key_set: KeySetId,
    /// The generation.
    pub generation: Generation,
    /// The node to which it is delivered; none in the manager's own store.
    pub node: Option<NodeId>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kmc, self.key_set, self.generation)?;
        self.node.map_or(Ok(()), |node| write!(f, "/{node}"))
    }
}

impl Label {
    /// Reads the text of an LB block; the text must be spelled as [`Label`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let label = Self {
            kmc: parts.next()?.parse().ok()?,
            key_set: parts.next()?.parse().ok()?,
            generation: Generation(parts.next()?.parse().ok()?),
            node: parts.next().map(str::parse).transpose().ok()?,
        };
        (label.to_string() == text).then_some(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_each_label() {
        for node in [None, Some(NodeId([3; 32]))] {
            let label = Label {
                kmc: KmcId([1; 32]),
                key_set: KeySetId::new(5, [2; 10]),
                generation: Generation(u32::MAX),
                node,
            };
            let text = label.to_string();
            assert!(text.len() <= 251, "fits the short form of an optional block");
            assert_eq!(Label::parse(&text), Some(label));
            assert_eq!(Label::parse(&format!("{text}/")), None);
            assert_eq!(Label::parse(&text.replace("4294967295", "04294967295")), None);
            assert_eq!(Label::parse(&text[1..]), None);
        }
    }
}
