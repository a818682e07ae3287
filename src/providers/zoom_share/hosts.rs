//! The domains of Zoom.

/// Zoom's domains: commercial, US government, China.
pub(crate) const ZOOM_HOSTS: [&str; 3] = ["zoom.us", "zoomgov.com", "zoom.com.cn"];
