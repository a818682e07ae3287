//! The file `SHA256SUMS` of a directory, in the format of sha256sum(1).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::backup_directory::BackupDirectory;
use crate::commands::file_hash::FileHash;

pub(super) const CHECKSUM_FILE_NAME: &str = "SHA256SUMS";

/// The name of the file until it is complete.
const TEMPORARY_NAME: &str = ".SHA256SUMS.meetfs";

/// Maximum length of a checksum file in bytes. It is enough for 50,000 names of the maximum length.
const MAX_LENGTH: u64 = 16 * 1024 * 1024;

/// Length of a hash in hexadecimal digits.
const DIGIT_COUNT: usize = 2 * size_of::<FileHash>();

/// The hashes of the files in a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ChecksumFile {
    /// The bytes of the file, or no bytes if it does not exist.
    bytes: Vec<u8>,
    hashes: BTreeMap<OsString, FileHash>,
    /// Comments, lines about files in other directories, and lines in other formats.
    other_lines: Vec<Vec<u8>>,
}

/// Whether a file with this name is a checksum file, or an unfinished one.
pub(super) fn is_checksum_file(name: &OsStr) -> bool {
    name == CHECKSUM_FILE_NAME || name == TEMPORARY_NAME
}

impl ChecksumFile {
    /// Reads the checksum file of a directory. If it does not exist, returns no hashes.
    ///
    /// # Errors
    /// The file cannot be read, is a symbolic link, or is too long.
    pub(super) fn read(directory: &BackupDirectory) -> io::Result<Self> {
        let file = match directory.open_file(OsStr::new(CHECKSUM_FILE_NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_LENGTH + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_LENGTH {
            return Err(io::Error::other("the file is larger than 16 MiB"));
        }
        Ok(Self::parse(bytes))
    }

    fn parse(bytes: Vec<u8>) -> Self {
        let mut hashes = BTreeMap::new();
        let mut other_lines = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match parse_line(line) {
                Some((name, hash)) => {
                    hashes.insert(name, hash);
                }
                None => other_lines.push(line.to_vec()),
            }
        }
        Self { bytes, hashes, other_lines }
    }

    pub(super) fn hash_of(&self, name: &OsStr) -> Option<FileHash> {
        self.hashes.get(name).copied()
    }

    pub(super) fn insert(&mut self, name: &OsStr, hash: FileHash) {
        self.hashes.insert(name.to_owned(), hash);
    }

    /// Removes the hashes of all other files.
    pub(super) fn retain(&mut self, mut is_retained: impl FnMut(&OsStr) -> bool) {
        self.hashes.retain(|name, _| is_retained(name));
    }

    /// Writes the checksum file of a directory in one step, unless it would not change.
    ///
    /// # Errors
    /// The file cannot be written. The directory then contains the earlier file.
    pub(super) fn write(&self, directory: &BackupDirectory) -> io::Result<()> {
        let bytes = self.format();
        if bytes == self.bytes {
            return Ok(());
        }
        directory.replace_file(CHECKSUM_FILE_NAME, TEMPORARY_NAME, &bytes)
    }

    fn format(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.other_lines {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        for (name, hash) in &self.hashes {
            let name = name.as_bytes();
            let escaped_name = escape(name);
            if escaped_name != name {
                bytes.push(b'\\');
            }
            for byte in hash {
                bytes.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
            bytes.extend_from_slice(b"  ");
            bytes.extend_from_slice(&escaped_name);
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Parses a line `HASH  NAME` or `HASH *NAME`. With a backslash before the hash, the name is
/// escaped. Returns `None` for any other line, and for a file in another directory.
fn parse_line(line: &[u8]) -> Option<(OsString, FileHash)> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let unescaped_line = line.strip_prefix(b"\\");
    let (digits, rest) = unescaped_line.unwrap_or(line).split_at_checked(DIGIT_COUNT)?;
    let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    let name = if unescaped_line.is_some() { unescape(name)? } else { name.to_vec() };
    // `sha256sum ./*` and `find -exec` write such names.
    let name = name.strip_prefix(b"./").map_or(name.clone(), <[u8]>::to_vec);
    if name.is_empty() || name.contains(&b'/') {
        return None;
    }
    Some((OsString::from_vec(name), parse_hash(digits)?))
}

fn parse_hash(digits: &[u8]) -> Option<FileHash> {
    let mut hash = FileHash::default();
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(value(*high)? * 16 + value(*low)?).ok()?;
    }
    Some(hash)
}

fn escape(name: &[u8]) -> Vec<u8> {
    let escaped = name.iter().flat_map(|byte| match byte {
        b'\\' => [Some(b'\\'), Some(b'\\')],
        b'\n' => [Some(b'\\'), Some(b'n')],
        b'\r' => [Some(b'\\'), Some(b'r')],
        other => [Some(*other), None],
    });
    escaped.flatten().collect()
}

fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = name.iter();
    let mut unescaped = Vec::new();
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            other => *other,
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(byte: u8) -> FileHash {
        [byte; size_of::<FileHash>()]
    }

    #[test]
    fn lines_of_other_formats_are_kept() {
        let digits = "0a".repeat(32);
        let text = format!(
            "# by hand\n{digits}  chat.txt\n{digits} *audio.m4a\n\\{digits}  a\\\\b\\nc\n\
             {digits}  ./poll.csv\r\n{digits}  sub/chat.txt\nSHA256 (x) = {digits}\n{digits} x\n0a  short\n"
        );
        let mut file = ChecksumFile::parse(text.into());
        for name in ["chat.txt", "audio.m4a", "a\\b\nc", "poll.csv"] {
            assert_eq!(file.hash_of(name.as_ref()), Some(hash(10)), "{name}");
        }
        assert_eq!(file.other_lines.len(), 5, "{file:?}");
        file.retain(|name| name == "a\\b\nc");
        file.insert("été.vtt".as_ref(), hash(255));
        let text = String::from_utf8(file.format()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let kept = format!("\\{digits}  a\\\\b\\nc");
        let added = format!("{}  été.vtt", "ff".repeat(32));
        assert_eq!(lines.len(), 7, "{text}");
        assert_eq!((lines[0], lines[5], lines[6]), ("# by hand", &*kept, &*added));
    }

    proptest! {
        #[test]
        fn any_name_survives_a_round_trip(
            names in prop::collection::vec("[^/\0]{1,20}", 0..5),
            byte in any::<u8>(),
        ) {
            let mut file = ChecksumFile::default();
            for name in &names {
                file.insert(name.as_ref(), hash(byte));
            }
            let parsed = ChecksumFile::parse(file.format());
            prop_assert_eq!(&parsed.hashes, &file.hashes);
            prop_assert_eq!(parsed.format(), parsed.bytes);
        }

        #[test]
        fn any_bytes_are_accepted(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let parsed = ChecksumFile::parse(bytes);
            prop_assert_eq!(ChecksumFile::parse(parsed.format()).hashes, parsed.hashes);
        }
    }
}
