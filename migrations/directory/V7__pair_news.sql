-- What the other user of a pair is to be told when its change is finished, by whomever: who changed it, and how (ask, accept, reject).
-- Null: nobody is told.
alter table pair_pending add column actor_id uuid;
alter table pair_pending add column action text;
