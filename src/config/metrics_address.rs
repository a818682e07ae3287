//! The address of the metrics server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::value_problem::ValueProblem;

/// The prefix of the path of a socket.
const UNIX_PREFIX: &str = "unix:";

/// The address of the metrics server. It cannot be reached from other machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A port on a loopback address.
    Tcp(SocketAddr),
    /// The absolute path of a socket.
    Unix(PathBuf),
}

impl MetricsAddress {
    /// Parses a loopback host with a port, such as `127.0.0.1:9464`, or `unix:` and an absolute
    /// path.
    pub(super) fn parse(text: String) -> Result<Self, ValueProblem> {
        if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
            let path = PathBuf::from(path);
            return match path.is_absolute() && path.file_name().is_some() {
                true => Ok(Self::Unix(path)),
                false => Err(malformed(text)),
            };
        }
        // The name is not resolved, because a resolver can return any address for it.
        let with_address = match text.strip_prefix("localhost:") {
            Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
            None => text.clone(),
        };
        let Ok(address) = with_address.parse::<SocketAddr>() else {
            return Err(match text.rsplit_once(':') {
                Some((_, port)) if port.parse::<u16>().is_ok() => ValueProblem::NotLoopback,
                _ => malformed(text),
            });
        };
        let is_loopback = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        };
        if is_loopback { Ok(Self::Tcp(address)) } else { Err(ValueProblem::NotLoopback) }
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

fn malformed(value: String) -> ValueProblem {
    ValueProblem::Malformed {
        value,
        expected: "an address",
        hint: Some(
            "Write a loopback address and a port, such as 127.0.0.1:9464, or unix: and an absolute path.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_and_sockets_are_accepted() {
        for (text, expected) in [
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("127.1.2.3:1", "127.1.2.3:1"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:9464", "[::1]:9464"),
            ("unix:/run/meetfs/metrics", "unix:/run/meetfs/metrics"),
        ] {
            assert_eq!(MetricsAddress::parse(text.into()).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn other_addresses_are_rejected() {
        for text in ["0.0.0.0:9464", "[::]:9464", "192.168.1.2:9464", "example.org:9464"] {
            let problem = MetricsAddress::parse(text.into()).unwrap_err();
            assert!(matches!(problem, ValueProblem::NotLoopback), "{text}: {problem}");
        }
        for text in ["", "9464", "127.0.0.1", "127.0.0.1:99999", "unix:", "unix:metrics", "unix:/"]
        {
            let problem = MetricsAddress::parse(text.into()).unwrap_err();
            assert!(matches!(problem, ValueProblem::Malformed { .. }), "{text}: {problem}");
        }
    }
}
