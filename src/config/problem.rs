//! What can be wrong with one file, value or secret, in words for the person who wrote it.
//!
//! No text repeats what might be a secret.

use std::path::PathBuf;

use nix::unistd::Uid;

use super::MemoryBudget;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is a directory, a pipe, a device …
    #[error("it is not a regular file")]
    NotRegular,
    /// It is longer than such a file can sensibly be.
    #[error("it is larger than {} KiB", .limit / 1024)]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// It is not text.
    #[error("it is not UTF-8 text")]
    NotUtf8,
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum ValueProblem {
    /// Another TOML type is needed.
    #[error("must be {wanted}, not {found}")]
    Type {
        /// The type that is needed, with its article.
        wanted: &'static str,
        /// The type that was found.
        found: &'static str,
    },
    /// There is nothing in it.
    #[error("must not be empty; {instead}")]
    Empty {
        /// What to write, or what leaving it out means.
        instead: &'static str,
    },
    /// One of a list is empty.
    #[error("holds an empty text, which stands for nothing; {instead}")]
    EmptyInList {
        /// What to write, or what leaving it out means.
        instead: &'static str,
    },
    /// It is not text.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// It holds control characters or, where those make no sense, spaces or colons.
    #[error(
        "holds a character that does not belong there (a space, a colon or a control character)"
    )]
    Characters,
    /// It is not a number of bytes.
    #[error("`{0}` is not a size; write one like \"128MiB\" or \"10GiB\"")]
    Size(String),
    /// The memory would not suffice to read with.
    #[error("must be at least {}, or reads would wait for each other's memory", bytesize::ByteSize(MemoryBudget::MIN.bytes()))]
    MemoryTooSmall,
    /// The machine has less.
    #[error("asks for {}, and this machine has {} of memory; write less, as in \"{}\"", bytesize::ByteSize(*.asked), bytesize::ByteSize(*.machine), sensible(*.machine))]
    MemoryTooLarge {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes that there are.
        machine: u64,
    },
    /// The disk limit holds not even one block.
    #[error(
        "must be at least {}, one block of the cache; \"off\" keeps nothing on disk",
        bytesize::ByteSize(super::DiskLimit::MIN_BYTES)
    )]
    DiskTooSmall,
    /// No file system holds as much.
    #[error("is larger than any disk; write less, or \"off\"")]
    DiskTooLarge,
    /// It is not a length of time.
    #[error("`{0}` is not a length of time; write one like \"30s\" or \"2m\"")]
    Duration(String),
    /// The read deadline is out of its range.
    #[error("must lie between {} and {} seconds", super::MIN_READ_DEADLINE.as_secs(), super::MAX_READ_DEADLINE.as_secs())]
    ReadDeadlineRange,
    /// No number of connections.
    #[error("`{0}` is no whole number from 1 to {most}", most = super::MAX_CONNECTIONS)]
    Connections(String),
    /// There is no such time zone.
    #[error(
        "there is no time zone `{name}`{}",
        offer_and(
            .nearest.as_deref(),
            "write a name like \"Europe/Berlin\", one of those that `timedatectl list-timezones` lists"
        )
    )]
    TimeZone {
        /// As given.
        name: String,
        /// The zone most like it.
        nearest: Option<String>,
    },
    /// `~/` without a home directory.
    #[error("begins with `~/`, and HOME is not set to an absolute path; write the whole path")]
    NoHome,
    /// A relative path and no current directory to take it from.
    #[error("cannot be made an absolute path: {0}")]
    Path(std::io::Error),
    /// It is not a day.
    #[error("`{0}` is not a date; write one like \"2024-01-31\"")]
    Date(String),
    /// It is a day to come.
    #[error("{0} is in the future")]
    FutureDate(jiff::civil::Date),
    /// The last day lies before the first one.
    #[error("{until} lies before the first day, which is {since}; nothing would be shown")]
    NoDays {
        /// The first day.
        since: jiff::civil::Date,
        /// The last day.
        until: jiff::civil::Date,
    },
    /// It is no pattern.
    #[error("`{pattern}` is no pattern ({why}); `*` stands for anything, `?` for one character")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such plan.
    #[error("there is no plan `{0}`; write \"free\", \"pro\" or \"business\" (Business and above)")]
    Plan(String),
    /// There is no such kind of recording file.
    #[error("there is no kind of file `{name}`{}", offer_and(.nearest.as_deref(), "kinds are video, audio, transcript, chat and other"))]
    FileKind {
        /// As given.
        name: String,
        /// The kind most like it.
        nearest: Option<String>,
    },
    /// It is not a legal name of a source.
    #[error(
        "`{0}` cannot name a source: use 1 to 64 letters, digits, dots, hyphens or underscores, no leading dot"
    )]
    SourceName(String),
    /// There is no such provider.
    #[error("there is no provider \"{name}\"{}", offer_and(.nearest.as_deref(), "this version reads \"zoom\", \"webex\" and \"rapatin\""))]
    Provider {
        /// As given.
        name: String,
        /// The provider most like it.
        nearest: Option<String>,
    },
    /// The base address is not an address.
    #[error("is not an address: {0}")]
    Address(url::ParseError),
    /// The base address would send secrets in the clear.
    #[error("must begin with https:// (http:// is for a loopback host only)")]
    AddressScheme,
    /// The base address holds a user name or password.
    #[error("must not hold a user name or password")]
    AddressUser,
    /// The base address has a query or fragment.
    #[error("must end before `?` and `#`")]
    AddressQuery,
    /// It is not a bare host name.
    #[error(
        "must hold bare host names like \"files.example.org\", without scheme, port, path or `*`"
    )]
    HostName,
    /// A host name of one part would let a whole top-level domain in.
    #[error(
        "must hold host names of two parts or more, as in \"example.org\": hosts below them are let in too"
    )]
    HostTooShort,
    /// It names no user.
    #[error("`{0}` is neither \"all\", \"me\", an e-mail address nor a pattern of them")]
    User(String),
    /// It is no e-mail address.
    #[error("`{0}` is no e-mail address")]
    Email(String),
    /// It is no id of a meeting.
    #[error("`{0}` is no id of a meeting; write its digits, as in \"85095598095\"")]
    Meeting(String),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretProblem {
    /// The secret is empty.
    #[error("the secret is empty; write it there, or leave the key out for another way to sign in")]
    Empty,
    /// The key says where the secret is, and says nothing.
    #[error("must not be empty; write {what}")]
    NoPlace {
        /// What belongs there.
        what: &'static str,
    },
    /// The secret holds a line break or another control character.
    #[error("the secret holds a line break or another control character; it must be a single line")]
    ControlCharacter,
    /// It is not text.
    #[error("the secret is not UTF-8 text")]
    NotUtf8,
    /// The variable is not set.
    #[error(
        "the environment variable it names is not set, or empty; set it for the process that mounts"
    )]
    VariableUnset,
    /// The file cannot be read.
    #[error("cannot read {}: {problem}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: FileProblem,
    },
    /// Others may read the file.
    #[error("{} has mode {mode:04o}, so others may read it; run `chmod 600 {}`", .path.display(), .path.display())]
    FileExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is somebody else's.
    #[error(
        "{} belongs to user {owner}, who knows what is in it and can exchange it; make it yours (`chown {} {}`), or run meetfs as that user",
        .path.display(), Uid::effective(), .path.display()
    )]
    FileForeign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: Uid,
    },
    /// The path begins with `~/` and there is no home directory.
    #[error("{0}")]
    Path(ValueProblem),
    /// The command could not be run at all.
    #[error("cannot run the command: {0}")]
    CommandStart(std::io::Error),
    /// The command said that it failed.
    #[error("the command failed ({0}); run it in a shell to see why")]
    CommandFailed(std::process::ExitStatus),
    /// The command did not end.
    #[error("the command did not end within {} s and was killed; it must not ask questions", super::secret::COMMAND_DEADLINE.as_secs())]
    CommandTimeout,
    /// The command printed too much for a secret.
    #[error("the command printed more than {} KiB and was killed", super::secret::MAX_BYTES / 1024)]
    CommandOutput,
}

/// A budget of blocks for a machine with so many bytes of memory: a power of two, about an eighth of it.
fn sensible(machine: u64) -> String {
    const GIB: u64 = 1024 * 1024 * 1024;
    let eighth = machine.max(8) / 8;
    let bytes = (1_u64 << eighth.ilog2()).max(MemoryBudget::MIN.bytes());
    if bytes >= GIB {
        format!("{}GiB", bytes / GIB)
    } else {
        format!("{}MiB", bytes / (1024 * 1024))
    }
}

/// The end of a message that has a nearest word to offer, or nothing.
pub(super) fn offer(nearest: Option<&str>) -> String {
    nearest.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

/// The same with a sentence that is said in any case.
pub(super) fn offer_and(nearest: Option<&str>, sentence: &str) -> String {
    let mut rest = sentence.chars();
    match (nearest, rest.next()) {
        (Some(_), Some(first)) => {
            format!("{} {}{}", offer(nearest), first.to_uppercase(), rest.as_str())
        }
        _ => format!("; {sentence}"),
    }
}
