//! Tests of the parts of a mount together.

mod soak;
