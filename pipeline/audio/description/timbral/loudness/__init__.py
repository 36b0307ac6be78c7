"""How loud a sound is: ITU-R BS.1770 for its level, Zwicker's specific loudness for its bands."""
