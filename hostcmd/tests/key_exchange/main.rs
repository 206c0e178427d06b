//! Keys across the border of the unit: every form round trip, and every refusal that keeps a key where it is.

mod components;
mod forms;
mod harness;
mod making;
mod refusals;
