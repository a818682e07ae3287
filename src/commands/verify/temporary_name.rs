//! The names of unfinished copies.

/// Directories in which rsync keeps unfinished copies: with `--delay-updates`, and as its manual
/// suggests for `--partial-dir`.
const DIRECTORIES: [&[u8]; 2] = [b".~tmp~", b".rsync-partial"];

/// Minimum length of a name that rsync shortens in the name of a temporary file, in bytes.
const MIN_SHORTENED_LENGTH: usize = 240;

/// Number of random characters at the end of a temporary name of rsync.
const RSYNC_SUFFIX_LENGTH: usize = 6;

/// Whether a program uses this name in a directory of a backup while it copies a file. Such a file
/// is either complete under its own name later, or it stays behind when the program was killed.
/// `names` are the names of the files that are copied to the directory.
///
/// | program | name |
/// |---|---|
/// | rsync | `.NAME.XXXXXX` |
/// | rclone | `NAME.XXXXXXXX.partial` |
/// | browsers, download programs | `NAME.part` |
pub(super) fn is_temporary_name<'n>(
    name: &[u8],
    mut names: impl Iterator<Item = &'n [u8]>,
) -> bool {
    if DIRECTORIES.contains(&name) {
        return true;
    }
    if let Some(stem) = name.strip_suffix(b".part") {
        return names.any(|known| known == stem);
    }
    if let Some(stem) = name.strip_suffix(b".partial") {
        return names.any(|known| {
            known == stem
                || stem.strip_prefix(known).is_some_and(|rest| rest.first() == Some(&b'.'))
        });
    }
    let Some((stem, suffix)) = name
        .strip_prefix(b".")
        .and_then(|rest| rest.split_at_checked(rest.len().checked_sub(RSYNC_SUFFIX_LENGTH + 1)?))
    else {
        return false;
    };
    let is_random = suffix
        .strip_prefix(b".")
        .is_some_and(|random| random.iter().all(u8::is_ascii_alphanumeric));
    is_random
        && names.any(|known| {
            known == stem || (stem.len() >= MIN_SHORTENED_LENGTH && known.starts_with(stem))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_copy_programs_are_temporary() {
        let long_name = "é".repeat(125) + ".mp4";
        let shortened_name = format!(".{}.a1B2c3", "é".repeat(122));
        let names = ["audio_only.m4a", "chat.txt", long_name.as_str()];
        for (name, is_temporary) in [
            (".audio_only.m4a.a1B2c3", true),
            (shortened_name.as_str(), true),
            ("chat.txt.part", true),
            ("chat.txt.1a2b3c4d.partial", true),
            ("chat.txt.partial", true),
            (".~tmp~", true),
            (".rsync-partial", true),
            (".other.m4a.a1B2c3", false),
            (".audio_only.m4a.a1B2c", false),
            (".audio_only.m4a.a1-2c3", false),
            ("audio_only.m4a.a1B2c3", false),
            ("other.part", false),
            ("other.partial", false),
            ("chat.txtx.partial", false),
            (".a", false),
            ("", false),
        ] {
            let known = names.iter().map(|name| name.as_bytes());
            assert_eq!(is_temporary_name(name.as_bytes(), known), is_temporary, "{name}");
        }
    }
}
