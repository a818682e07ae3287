/// The priority of a request, which depends on whether a reader needs the reply.
///
/// A request for a reader fails at once if its host is down. A [`RateLimiter`] serves it before
/// background requests.
///
/// [`RateLimiter`]: super::RateLimiter
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A reader is waiting for the reply.
    Demand,
    /// A reader is expected to need the reply soon. Readers share leases and blocks, so a reader
    /// can start to wait for the reply at any time. Therefore a prefetch gets the same treatment as
    /// demand.
    Prefetch,
    /// No reader needs the reply.
    Background,
}

impl Priority {
    /// Whether a reader is waiting for the reply or may start to wait for it.
    pub fn is_for_reader(self) -> bool {
        matches!(self, Self::Demand | Self::Prefetch)
    }
}
