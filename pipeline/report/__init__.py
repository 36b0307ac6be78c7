"""What people read: pages with pictures, tables and sound, texts in other tools' formats."""
