"""What is known of tracks beside their tags: corrections, columns of manifests, who is gone."""
