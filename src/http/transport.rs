//! Sends single HTTP requests.

use std::fmt;

use async_trait::async_trait;
use reqwest::{Error, Request, Response};

/// Sends a request and returns the head of the reply. Tests that run in simulated time replace it
/// with a server in the same process.
#[async_trait]
pub(super) trait Transport: fmt::Debug + Send + Sync {
    async fn send(&self, request: Request) -> Result<Response, Error>;
}

#[async_trait]
impl Transport for reqwest::Client {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        self.execute(request).await
    }
}
