/// What a request is for.
///
/// A request for a reader fails at once if its host is down, and a [`RateLimiter`] serves it before
/// background requests.
///
/// [`RateLimiter`]: super::RateLimiter
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A reader waits for the reply.
    Demand,
    /// A reader is expected to need the reply soon. It can begin to wait for it at any time,
    /// because leases and blocks are shared, so that a prefetch is served like demand.
    Prefetch,
    /// No reader needs the reply.
    Background,
}

impl Priority {
    /// Whether a reader waits for the reply or can begin to.
    pub fn is_for_reader(self) -> bool {
        matches!(self, Self::Demand | Self::Prefetch)
    }
}
