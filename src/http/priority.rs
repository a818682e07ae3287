/// What a request is for.
///
/// A request for a reader fails at once if its host is down. A [`RateLimiter`] serves it before
/// background requests.
///
/// [`RateLimiter`]: super::RateLimiter
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A reader is waiting for the reply.
    Demand,
    /// A reader is expected to need the reply soon. Because leases and blocks are shared, a reader
    /// can start to wait for it at any time. Therefore a prefetch is served like demand.
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
