//! Range requests checked to the byte.
