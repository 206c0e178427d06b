//! `payhsm demo`: the main job on embedded defaults. Starts a gateway on loopback, makes keys over the wire,
//! translates and verifies, and checks every answer with cryptography of its own.

mod load;
mod oracle;
mod steps;
mod wire;

