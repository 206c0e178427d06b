//! Components: keys of full length whose XOR is the key. Each component alone tells nothing of it, so none
//! may be missing, counted twice or made to cancel another.

use crate::service::keys::Place;
use crate::service::seal::open_part;
use crate::{Code, Cx};
use hsm::{Binding, BlockAttributes, Key, KeyToken, KeyType};
use paytypes::bytes::xor_into;
use paytypes::parity::make_odd;
use paytypes::{CipherKind, ClearKey, KeyVersion};

/// An opened component.
#[derive(Debug)]
pub struct Component {
    key: Key,
    clear: Box<ClearKey>,
}

impl Component {
    /// Its cipher, which is the key's.
    pub fn kind(&self) -> CipherKind {
        self.key.attributes().shape.kind
    }
}

/// Opens the components. Bad parity and weak components answer 10. Under a variant LMK a component is wrapped
/// as a key of its type: the further variant of newer units for components is not read.
pub async fn open(cx: &Cx, tokens: &[KeyToken], key_type: KeyType) -> Result<Vec<Component>, Code> {
    let mut opened = Vec::with_capacity(tokens.len());
    for token in tokens {
        let key = open_part(cx, token, key_type, Place::Source).await?;
        let clear = cx.hsm.reveal(&key).await?;
        opened.push(Component { key, clear });
    }
    Ok(opened)
}

/// The attributes that all components share: B5 unless usage, mode, exportability, algorithm and length are
/// the same and the numbers (`c1` to `c9`) all different. `None` under a variant LMK.
pub fn common(components: &[Component]) -> Result<Option<BlockAttributes>, Code> {
    let first = components.first().ok_or(Code::COUNT)?.key.attributes();
    let mut numbers = Vec::with_capacity(components.len());
    for component in components {
        let own = component.key.attributes();
        if own.shape != first.shape {
            return Err(Code::COMPONENT);
        }
        if let Some(block) = block_of(&component.key) {
            if !matches!(block.version.0, [b'c', b'1'..=b'9']) {
                return Err(Code::BLOCK_VERSION);
            }
            let same = block_of_first(components).is_some_and(|f| nameless(f) == nameless(block));
            if !same || numbers.contains(&block.version.0) {
                return Err(Code::COMPONENT);
            }
            numbers.push(block.version.0);
        }
    }
    Ok(block_of_first(components))
}

fn block_of(key: &Key) -> Option<BlockAttributes> {
    match key.attributes().binding {
        Binding::Block(block) => Some(block),
        _ => None,
    }
}

fn block_of_first(components: &[Component]) -> Option<BlockAttributes> {
    components.first().and_then(|component| block_of(&component.key))
}

const fn nameless(block: BlockAttributes) -> BlockAttributes {
    BlockAttributes { version: KeyVersion::UNUSED, ..block }
}

/// The key: XOR of all, then odd parity for DES and TDES. B5 when a component is zero, two are equal, or the
/// others cancel out so that the key is one of them; 11 when the key is zero.
pub fn combine(components: &[Component]) -> Result<ClearKey, Code> {
    let (first, rest) = components.split_first().ok_or(Code::COUNT)?;
    let mut key = first.clear.duplicate();
    for component in rest {
        xor_into(key.expose_mut(), component.clear.expose());
    }
    let zero = is_zero(&key);
    if first.kind() != CipherKind::Aes {
        make_odd(key.expose_mut());
    }
    let mut left = components;
    while let Some((one, others)) = left.split_first() {
        if is_zero(&one.clear)
            || one.clear.same_as(&key)
            || others.iter().any(|other| other.clear.same_as(&one.clear))
        {
            return Err(Code::COMPONENT);
        }
        left = others;
    }
    if zero { Err(Code::DESTINATION_PARITY) } else { Ok(key) }
}

fn is_zero(key: &ClearKey) -> bool {
    key.expose().iter().fold(0, |all, byte| all | byte) == 0
}
