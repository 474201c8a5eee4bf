-- Each word of users' names once: many share few, and similar ones are looked for among the words, not among the users; and among
-- words of about the same length, since an index of trigrams knows nothing of length and would read all the long ones for a short one.
-- The words follow the names by themselves, whoever writes those. Nodes of the version before look for similar names in vain from here
-- on (for up to half a second each); all else they do as ever. While this runs (45 s for a million users) new names wait, and are
-- found afterwards.
create table search_word (
    word       text not null,
    length     int2 not null,                     -- in code points
    primary key (word, length)
) partition by range (length);
create table search_word_3 partition of search_word for values from (0) to (4);
create table search_word_5 partition of search_word for values from (4) to (6);
create table search_word_7 partition of search_word for values from (6) to (8);
create table search_word_9 partition of search_word for values from (8) to (10);
create table search_word_11 partition of search_word for values from (10) to (12);
create table search_word_15 partition of search_word for values from (12) to (16);
create table search_word_long partition of search_word for values from (16) to (1000);

-- One at a time: who removes the last name with a word has to see that another writes one.
create function follow_search_names() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('herald.search_words', 0));
    if tg_op = 'INSERT' then
        insert into search_word
        select distinct word, char_length(word) from changed where word is not null on conflict do nothing;
    else
        delete from search_word w using (select distinct word, char_length(word) as length from changed) c
        where w.word = c.word and w.length = c.length and not exists (select from search_name s where s.word = w.word);
    end if;
    return null;
end
$$;
create trigger search_names_added after insert on search_name referencing new table as changed
    for each statement execute function follow_search_names();
create trigger search_names_removed after delete on search_name referencing old table as changed
    for each statement execute function follow_search_names();

insert into search_word select distinct word, char_length(word) from search_name where word is not null;
create index search_word_similar on search_word using gin (word gin_trgm_ops) with (fastupdate = off);
create index search_name_word on search_name (word, user_id) where word is not null;
drop index search_name_similar;
