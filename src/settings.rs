//! What the user meant.
