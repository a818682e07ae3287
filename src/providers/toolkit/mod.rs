//! Code that several providers share.

pub(crate) mod api_client;
pub(crate) mod archive_identity;
pub(crate) mod backoff;
pub(crate) mod base_urls;
pub(crate) mod document;
pub(crate) mod fan_out;
pub(crate) mod json_repair;
pub(crate) mod lease_cache;
pub(crate) mod lease_timeout;
pub(crate) mod listing_failures;
pub(crate) mod page_guard;
pub(crate) mod recycle_bin;
pub(crate) mod redaction;
pub(crate) mod refused_users;
pub(crate) mod scopes;
pub(crate) mod serde_lenient;
pub(crate) mod single_flight;
pub(crate) mod token;
pub(crate) mod version_facts;
pub(crate) mod windowed_listing;
