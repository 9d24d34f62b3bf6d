//! The control plane from outside: its store on both real databases, its API over a real one, its program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod backup;
mod command_line;
mod envoy;
mod impact;
mod joining;
mod load_reports;
mod migrations;
mod program;
mod replicas;
mod routing;
mod schema;
mod serving;
mod settings;
mod store;
mod webhooks;
