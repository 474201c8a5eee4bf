//! Groups: made, changed, dissolved, and how members come and go.

pub mod add_members;
pub mod change_group;
pub mod check_invited;
pub mod check_role;
pub mod create_group;
pub mod dissolve_group;
pub mod end_memberships;
pub mod join_group;
pub mod join_members;
pub mod leave_group;
pub mod list_invites;
pub mod list_members;
pub mod make_invite;
pub mod remove_members;
pub mod sweep_listings;
pub mod withdraw_invite;
