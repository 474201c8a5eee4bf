//! What administrators see and do. What changes something is in the audit log, written with the change.

pub mod change_template;
pub mod change_user;
pub mod create_template;
pub mod delete_template;
pub mod end_user_sessions;
pub mod find_users;
pub mod list_audit;
pub mod list_nodes;
pub mod list_templates;
pub mod read_stats;
pub mod reload_settings;
pub mod report_node;
pub mod send_notification;
