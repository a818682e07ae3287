//! Entry points for the fuzz targets in `fuzz/`. Each module has thin functions for one part of the
//! crate.
//!
//! Compiled only for cargo-fuzz, which sets `--cfg fuzzing`, and for the unit tests, which replay
//! the committed seeds.

pub use crate::cache::disk::fuzzing as disk;
pub use crate::catalog::fuzzing as catalog;
pub use crate::commands::doctor::fuzzing as doctor;
pub use crate::commands::login::fuzzing as login;
pub use crate::config::fuzzing as settings;
pub use crate::daemon::control::fuzzing as control;
pub use crate::http::fuzzing as http;
pub use crate::providers::oauth_fuzzing as sign_in;
pub use crate::providers::rapatin::fuzzing as rapatin;
pub use crate::providers::webex::fuzzing as webex;
pub use crate::providers::zoom::fuzzing as zoom;
pub use crate::providers::zoom_share_fuzzing as zoom_share;
pub use crate::read::fuzzing as read;

#[cfg(test)]
#[allow(missing_docs, unreachable_pub)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::targets::TARGETS;

    #[test]
    fn every_seed_passes_its_target() {
        for (name, check) in TARGETS {
            let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
            let mut count = 0;
            for seed in std::fs::read_dir(&seeds)
                .unwrap_or_else(|error| panic!("{}: {error}", seeds.display()))
            {
                let path = seed.unwrap().path();
                println!("{}", path.display());
                check(&std::fs::read(&path).unwrap());
                count += 1;
            }
            assert!(count > 0, "{} is empty", seeds.display());
        }
    }
}
