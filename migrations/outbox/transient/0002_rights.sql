alter function outbox.forget() owner to outbox_owner;
