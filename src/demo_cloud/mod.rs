//! An embedded server that implements the APIs of Zoom, Webex and Rapatin, including their quirks.
//! It uses real HTTP on the loopback interface.
//!
//! `meetfs mount --demo`, tests and benchmarks run it in their own process.
//!
//! - Inputs: an [`Archive`], [`DemoCloudOptions`] and [`Fault`]s.
//! - Outputs: base URLs for a configuration, and the log of requests.
//! - Zoom has three servers, as in reality: the API with OAuth, the web host whose download URLs
//!   redirect, and the media host that serves signed URLs. Webex has an API with its own OAuth and
//!   uses the media host. Rapatin has an API and uses Zoom's web host and media host.
//! - It must not know the client. It uses no other module of the crate, so a misunderstanding of an
//!   API on one side makes a test fail. It prints nothing.
//! - Locks: no lock is held while another is acquired.

mod archive;
mod body;
mod cloud;
mod company_archive;
mod demo_archive;
mod faults;
mod file_paths;
mod media_host;
mod metered_socket;
mod oauth;
mod page_tokens;
mod pattern;
mod rapatin;
mod rapatin_api;
mod rapatin_archive;
mod reply;
mod request_head;
mod request_log;
mod server;
mod sign_in;
mod signed_urls;
mod store;
mod webex_api;
mod webex_archive;
mod webex_demo;
mod webex_json;
mod webex_tickets;
mod zoom_api;
mod zoom_json;
mod zoom_limits;
mod zoom_trash;
mod zoom_web;

pub use archive::{
    Archive, Content, EmptyFileList, FileLocation, FileStatus, ListedSize, Meeting, MeetingFile,
    Participant, User,
};
pub use cloud::{DemoCloud, DemoCloudOptions};
pub use faults::{Effect, Fault, FaultPlan, HeaderChange, RetryAfter, Trigger};
pub use oauth::{Credentials, UserApp};
pub use pattern::{PATTERN_HEAD, pattern_bytes, pattern_seed};
pub use rapatin_archive::{RapatinSession, RapatinStatus};
pub use request_log::{Request, Server};
pub use sign_in::SignInCounts;
pub use store::Object;
pub use webex_api::WebexCredentials;
pub use webex_archive::{WebexArchive, WebexFile, WebexObject, WebexRecording};
pub use zoom_limits::{ZoomLabel, ZoomLimits};
pub use zoom_web::AcceptedCredentials;
